// Prefixes by the hundred thousand: columns of words, lengths and PIDs, sorted by address and then by length.

/** What packing.py has packed: octets. */
async function unpacked(text) {
  const binary = atob(text);
  const octets = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) octets[at] = binary.charCodeAt(at);
  const stream = new Blob([octets]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** `count` numbers of `size` octets whose octets of equal weight stand together from `start` on. */
function joined(octets, start, count, size) {
  const found = new Uint8Array(count * size);
  for (let plane = 0; plane < size; plane++) {
    const from = start + plane * count;
    for (let at = 0; at < count; at++) found[at * size + plane] = octets[from + at];
  }
  return found.buffer;
}

/** Doubles, or integers to be divided by `scale` where that is not 0; NaN stands for none. */
function numbers(octets, scale) {
  if (scale === 0) return new Float64Array(joined(octets, 0, octets.length / 8, 8));
  const none = -(2 ** 31);
  const integers = new Int32Array(joined(octets, 0, octets.length / 4, 4));
  return Float64Array.from(integers, (integer) => (integer === none ? NaN : integer / scale));
}

/** The prefixes of one family of a network map. */
class PrefixTable {
  static async read(family, packed, pidCount) {
    const octets = await unpacked(packed.data);
    const { words } = FAMILIES[family];
    const table = new PrefixTable();
    table.family = family;
    table.count = packed.count;
    table.leftOut = packed.leftOut;
    table.columns = [];
    for (let word = 0; word < words; word++) {
      table.columns.push(new Uint32Array(joined(octets, 4 * packed.count * word, packed.count, 4)));
    }
    const behind = 4 * packed.count * words;
    table.lengths = octets.slice(behind, behind + packed.count);
    table.pids = new Uint32Array(joined(octets, behind + packed.count, packed.count, 4));
    table.prepare(pidCount);
    return table;
  }

  /** Which lengths there are, which prefixes each PID has, and which prefix each lies in. */
  prepare(pidCount) {
    this.presentLengths = [...new Set(this.lengths)].sort((one, other) => one - other);
    this.starts = new Uint32Array(pidCount + 1);
    for (const pid of this.pids) this.starts[pid + 1]++;
    for (let pid = 0; pid < pidCount; pid++) this.starts[pid + 1] += this.starts[pid];
    const next = this.starts.slice();
    this.ofPid = new Uint32Array(this.count);
    for (let at = 0; at < this.count; at++) this.ofPid[next[this.pids[at]]++] = at;
    this.parents = new Int32Array(this.count).fill(-1);
    const around = [];
    for (let at = 0; at < this.count; at++) {
      while (around.length > 0 && !this.contains(around[around.length - 1], at)) around.pop();
      if (around.length > 0) this.parents[at] = around[around.length - 1];
      around.push(at);
    }
  }

  contains(outer, inner) {
    const length = this.lengths[outer];
    for (let word = 0; word * 32 < length; word++) {
      const kept = Math.min(32, length - 32 * word);
      if ((this.columns[word][outer] ^ this.columns[word][inner]) >>> (32 - kept) !== 0) return false;
    }
    return true;
  }

  /** The index of exactly this prefix, or -1. */
  find(words, length) {
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = this.compare(middle, words, length);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  compare(at, words, length) {
    for (let word = 0; word < words.length; word++) {
      const mine = this.columns[word][at];
      if (mine !== words[word]) return mine < words[word] ? -1 : 1;
    }
    return this.lengths[at] - length;
  }

  /** The indices of all prefixes that contain an address, the longest last: that one decides (RFC 7285 11.2.2). */
  around(words) {
    const found = [];
    for (const length of this.presentLengths) {
      const at = this.find(masked(words, length), length);
      if (at >= 0) found.push(at);
    }
    return found;
  }

  words(at) {
    return this.columns.map((column) => column[at]);
  }

  prefix(at) {
    return `${formatAddress(this.family, this.words(at))}/${this.lengths[at]}`;
  }

  countOf(pid) {
    return this.starts[pid + 1] - this.starts[pid];
  }

  /** For each PID how many addresses are in it when the longest prefix decides; exact for IPv4. */
  addressCounts(pidCount) {
    const counts = new Float64Array(pidCount);
    const { bits } = FAMILIES[this.family];
    for (let at = 0; at < this.count; at++) {
      const size = 2 ** (bits - this.lengths[at]);
      counts[this.pids[at]] += size;
      if (this.parents[at] >= 0) counts[this.pids[this.parents[at]]] -= size;
    }
    return counts;
  }
}

/** A network map: its names, and a table of prefixes for each family that it has. */
class NetworkMap {
  static async read(tree) {
    const map = new NetworkMap();
    map.id = tree.id;
    map.vtag = tree.vtag;
    map.pids = tree.pids;
    map.otherTypes = tree.otherTypes;
    map.tables = {};
    for (const [family, packed] of Object.entries(tree.families)) {
      map.tables[family] = await PrefixTable.read(Number(family), packed, tree.pids.length);
    }
    const ipv4 = map.tables[4];
    map.addressCounts = ipv4 === undefined ? null : ipv4.addressCounts(tree.pids.length);
    return map;
  }

  /** `{family, chain}`: the prefixes around an address with their PIDs, the longest last. */
  locate(address) {
    const table = this.tables[address.family];
    const chain = table === undefined ? [] : table.around(address.words);
    return chain.map((at) => ({ prefix: table.prefix(at), length: table.lengths[at], pid: this.pids[table.pids[at]] }));
  }

  prefixCount(family) {
    return this.tables[family]?.count ?? 0;
  }

  get leftOut() {
    return Object.values(this.tables).reduce((sum, table) => sum + table.leftOut, 0);
  }
}
