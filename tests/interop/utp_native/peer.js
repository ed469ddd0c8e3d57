// A peer on libutp (utp-native) for the tests: sends octets, takes octets, and says on stdout what it got, in JSON lines.
//
//   node peer.js listen|connect HOST PORT OPTIONS
//
// OPTIONS is a JSON object: send (octets to send), seed (their content: `content` of the Python side computes the same),
// buffers (octets of socket buffer, 0 for the system's), connections (to wait for, 1 unless said), echo (send back what
// comes, instead of content).
'use strict'
const crypto = require('crypto')
const utp = require('utp-native')

const [role, host, port, text] = process.argv.slice(2)
const options = { send: 0, seed: 0, buffers: 0, connections: 1, echo: false, ...JSON.parse(text || '{}') }
const BLOCK = 65536

// Block n of the content is one random block with n written over its first four octets.
const block = Buffer.alloc(BLOCK)
for (let filled = 0, n = 0; filled < BLOCK; n++) {
  filled += crypto.createHash('sha256').update(`${options.seed}:${n}`).digest().copy(block, filled)
}

function * content (size) {
  for (let at = 0, n = 0; at < size; at += BLOCK, n++) {
    const piece = Buffer.from(block.subarray(0, Math.min(BLOCK, size - at)))
    if (piece.length >= 4) piece.writeUInt32BE(n, 0)
    yield piece
  }
}

function say (event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

function take (connection) {
  const hash = crypto.createHash('sha256')
  const start = process.hrtime.bigint()
  let received = 0
  let first = null
  connection.on('data', data => {
    if (first === null) first = process.hrtime.bigint()
    received += data.length
    hash.update(data)
  })
  connection.on('end', () => {
    const seconds = Number(process.hrtime.bigint() - (first || start)) / 1e9
    say({ event: 'end', received, sha256: hash.digest('hex'), seconds, cpu: process.cpuUsage() })
  })
  connection.on('error', error => say({ event: 'error', code: error.code || null, message: error.message }))
  connection.on('close', () => {
    say({ event: 'close' })
    if (--options.connections === 0) socket.close()
  })
  if (options.echo) {
    connection.pipe(connection)
  } else {
    give(connection)
  }
}

async function give (connection) {
  for (const piece of content(options.send)) {
    if (!connection.write(piece)) await new Promise(resolve => connection.once('drain', resolve))
  }
  connection.end()
}

const socket = utp({ allowHalfOpen: true })
socket.on('connection', take)
socket.on('error', error => say({ event: 'error', code: error.code || null, message: error.message }))
socket.on('listening', () => {
  if (options.buffers) {
    socket.setRecvBufferSize(options.buffers)
    socket.setSendBufferSize(options.buffers)
  }
  say({ event: 'listening', port: socket.address().port })
  if (role === 'connect') take(socket.connect(Number(port), host))
})
if (role === 'listen') socket.listen(Number(port), host)
else socket.bind(0, host)
