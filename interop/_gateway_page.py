"""The gateway's page for people: how far it is, from whom, and the film itself. It loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
video, audio { width: 100%; max-height: 70vh; background: #000 }
progress { width: 100% }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .6rem }
th:first-child, td:first-child { text-align: left }
[hidden] { display: none }
"""
_SCRIPT = """
"use strict";
const of = (id) => document.getElementById(id);
const octets = (count) => {
  let unit = 0;
  for (; count >= 1000 && unit < 3; unit++) count /= 1000;
  return `${unit ? count.toFixed(1) : count} ${["B", "kB", "MB", "GB"][unit]}`;
};
const rows = (id, lines) => of(id).replaceChildren(...lines.map((cells) => {
  const row = document.createElement("tr");
  for (const cell of cells) row.insertCell().textContent = cell;
  return row;
}));
const start = (stats) => {
  const kind = stats.content_type.split("/")[0];
  of("link").href = stats.path;
  of("link").textContent = document.title = stats.name ?? stats.swarm_id;
  if (kind === "video" || kind === "audio") {
    const player = document.createElement(kind);
    player.controls = true;
    player.preload = "metadata";
    player.src = stats.path;
    of("player").append(player);
  }
};
const show = (stats) => {
  of("bar").value = stats.verified;
  of("state").textContent = `${(100 * stats.verified).toFixed(1)} % verified` +
    (stats.size === null ? "" : ` of ${octets(stats.size)}`) +
    `, ${octets(stats.download_rate)}/s in, ${octets(stats.upload_rate)}/s out, ${stats.peers.length} peers` +
    `, ${stats.chunks_refused} chunks refused, ${stats.waits} waits (${stats.waited_seconds.toFixed(1)} s)`;
  of("exchange").textContent = `asked ${stats.exchange.asked} times for peers and told of ${stats.exchange.told}, ` +
    `answered ${stats.exchange.answered} times and named ${stats.exchange.named}, refused ${stats.exchange.refused}`;
  rows("readers", stats.readers.map((one) => [octets(one.position), octets(one.buffer_ahead)]));
  rows("peers", stats.peers.map((one) => [one.address.join(" port "),
    one.offered === null ? "-" : `${(100 * one.offered).toFixed(0)} %`, octets(one.downloaded), octets(one.uploaded),
    `${octets(one.download_rate)}/s`, one.by_exchange ? "another peer" : "-",
    one.round_trip === null ? "-" : `${(1000 * one.round_trip).toFixed(1)} ms`]));
};
const look = async () => {
  try {
    const stats = await (await fetch("/stats")).json();
    if (!of("link").href) start(stats);
    show(stats);
    of("trouble").hidden = true;
  } catch {
    of("trouble").hidden = false;
  }
  document.documentElement.dataset.ready = "";
  setTimeout(look, 1000);
};
look();
"""


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


PAGE_POLICY = (
    f"default-src 'none'; script-src {_hashed(_SCRIPT)}; style-src {_hashed(_STYLE)}; "
    "connect-src 'self'; media-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page: its own script and style, its own gateway, nothing else."""
PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>ietf-p2p play</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style></head>
<body>
<h1><a id="link">…</a></h1>
<div id="player"></div>
<p><progress id="bar" max="1"></progress><br><span id="state">…</span></p>
<p id="trouble" role="alert" hidden>The gateway does not answer any more.</p>
<h2>Readers</h2>
<table><thead><tr><th>position</th><th>verified ahead</th></tr></thead><tbody id="readers"></tbody></table>
<h2>Peers</h2>
<table>
<thead><tr><th>address</th><th>has</th><th>received</th><th>sent</th><th>rate</th><th>named by</th>
<th>round trip</th></tr></thead>
<tbody id="peers"></tbody></table>
<p>Peer exchange: <span id="exchange">…</span></p>
<script>{_SCRIPT}</script>
</body>
</html>
""".encode()
