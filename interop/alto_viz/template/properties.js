// Properties of entities; addresses inherit each from the longest prefix that defines it (RFC 9240 section 6.1.3).

class PropertyMap {
  constructor(tree) {
    this.id = tree.id;
    this.vtag = tree.vtag;
    this.entities = tree.entities;
    this.leftOut = tree.leftOut;
    this.domains = new Map();
    for (const [entity, values] of this.entities) {
      const parts = /^((?:[^.]*\.)?ipv([46])):(.*)$/.exec(entity);
      const prefix = parts === null ? null : parsePrefix(parts[3], Number(parts[2]));
      if (prefix === null) continue;
      const found = this.domains.get(parts[1]);
      const domain = found ?? { family: prefix.family, lengths: new Set(), entries: new Map() };
      if (found === undefined) this.domains.set(parts[1], domain);
      domain.lengths.add(prefix.length);
      const key = `${prefix.words.join(".")}/${prefix.length}`;
      if (!domain.entries.has(key)) domain.entries.set(key, { entity, values });
    }
  }

  /** `[name, value, the entity that defines it]` of each property of an address. */
  of(address) {
    const all = [];
    for (const domain of this.domains.values()) {
      if (domain.family !== address.family) continue;
      const found = new Map();
      for (const length of [...domain.lengths].sort((one, other) => other - one)) {
        const entry = domain.entries.get(`${masked(address.words, length).join(".")}/${length}`);
        for (const [name, value] of Object.entries(entry?.values ?? {})) {
          if (!found.has(name)) found.set(name, [name, value, entry.entity]);
        }
      }
      all.push(...[...found.values()].filter(([, value]) => value !== null));
    }
    return all;
  }
}
