// Addresses as 32-bit words, the first one first: one for IPv4, four for IPv6. What is read is exactly what
// RFC 3986 (IPv4) and RFC 4291 (IPv6) spell: no leading zeros, no zone. What is written has the form of RFC 5952.

const FAMILIES = { 4: { words: 1, bits: 32, type: "ipv4" }, 6: { words: 4, bits: 128, type: "ipv6" } };

/** `{family, words}` of an address with or without its type in front, or null. */
function parseAddress(text) {
  const typed = /^ipv([46]):(.*)$/.exec(text);
  const bare = typed === null ? text : typed[2];
  const family = typed === null ? (bare.includes(":") ? 6 : 4) : Number(typed[1]);
  const words = family === 4 ? parseIPv4(bare) : parseIPv6(bare);
  return words === null ? null : { family, words };
}

function parseIPv4(text) {
  const octets = /^(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}$/.test(text) ? text.split(".").map(Number) : [];
  if (octets.length !== 4 || octets.some((octet) => octet > 255)) return null;
  return [((octets[0] << 24) | (octets[1] << 16) | (octets[2] << 8) | octets[3]) >>> 0];
}

function parseIPv6(text) {
  const mixed = /^([0-9A-Fa-f:]*:)([0-9.]+)$/.exec(text);
  if (mixed !== null && text.includes(".")) {
    const last = parseIPv4(mixed[2]);
    if (last === null) return null;
    text = `${mixed[1]}${(last[0] >>> 16).toString(16)}:${(last[0] & 0xffff).toString(16)}`;
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - (tail === undefined ? 0 : tail.length);
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array(missing).fill("0"), ...(tail ?? [])];
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return null;
  const numbers = groups.map((group) => parseInt(group, 16));
  return [0, 2, 4, 6].map((at) => ((numbers[at] << 16) | numbers[at + 1]) >>> 0);
}

function formatAddress(family, words) {
  if (family === 4) return [24, 16, 8, 0].map((shift) => (words[0] >>> shift) & 255).join(".");
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  let best = { at: 0, size: 1 };
  for (let at = 0; at < 8; at++) {
    let size = 0;
    while (at + size < 8 && groups[at + size] === 0) size++;
    if (size > best.size) best = { at, size };
  }
  const texts = groups.map((group) => group.toString(16));
  if (best.size < 2) return texts.join(":");
  return `${texts.slice(0, best.at).join(":")}::${texts.slice(best.at + best.size).join(":")}`;
}

/** The words with only their first `length` bits. */
function masked(words, length) {
  return words.map((word, at) => {
    const kept = Math.min(32, Math.max(0, length - 32 * at));
    return kept === 0 ? 0 : (word & (0xffffffff << (32 - kept))) >>> 0;
  });
}

/** `{family, words, length}` of a prefix, or of an address as that of its whole length; host bits are dropped. */
function parsePrefix(text, family) {
  const [address, digits, ...rest] = text.split("/");
  const parsed = parseAddress(`ipv${family}:${address}`);
  if (parsed === null || rest.length > 0) return null;
  if (digits === undefined) return { ...parsed, length: FAMILIES[family].bits };
  const length = /^(?:0|[1-9][0-9]{0,2})$/.test(digits) ? Number(digits) : -1;
  if (length < 0 || length > FAMILIES[family].bits) return null;
  return { family, words: masked(parsed.words, length), length };
}
