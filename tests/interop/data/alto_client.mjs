// An ALTO client of Node's own fetch: node alto_client.mjs URL, with `{name: [bodies]}` of what to POST on stdin.
// It prints a line of JSON for each answer of the directory's resources, then one for each event of an update stream
// until the server ends it, read by the rules of an EventSource.

const [base] = process.argv.slice(2);
let input = '';
for await (const piece of process.stdin) input += piece;
const asked = JSON.parse(input);
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const directory = await (await fetch(base)).json();
let stream;
for (const [name, entry] of Object.entries(directory.resources)) {
  const url = new URL(entry.uri, base);
  const headers = { Accept: `${entry['media-type']},application/alto-error+json` };
  if (entry['media-type'] === 'text/event-stream') {
    stream = { url, entry, body: asked[name][0] };
    continue;
  }
  for (const body of entry.accepts ? asked[name] ?? [] : [undefined]) {
    const options = body === undefined ? { headers }
      : { method: 'POST', headers: { ...headers, 'Content-Type': entry.accepts }, body: JSON.stringify(body) };
    const answer = await fetch(url, options);
    say({ name, status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() });
  }
}

const opened = await fetch(stream.url, {
  method: 'POST',
  headers: { 'Content-Type': stream.entry.accepts, Accept: 'text/event-stream' },
  body: JSON.stringify(stream.body),
});
let rest = '', event = '', data = [];
for await (const text of opened.body.pipeThrough(new TextDecoderStream())) {
  rest += text;
  for (let end; (end = rest.indexOf('\n')) >= 0; rest = rest.slice(end + 1)) {
    const line = rest.slice(0, end).replace(/\r$/, '');
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (line === '') {
      if (data.length) say({ event, data: JSON.parse(data.join('\n')) });
      [event, data] = ['', []];
    } else if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
  }
}
say({ end: true });
