// A page that a server shows follows the server's update stream (RFC 8895): an event tells that there is something new,
// and the data are fetched again.

const SILENCE = 50000; // milliseconds: servers say something every 15 to 30 s
const SETTLE = 150; // milliseconds in which several events become one fetch
const WAITS = { first: 1000, last: 30000 };

class LiveUpdates {
  /** `page.live` is what page.py's Live says, which may change with the data; `page.load` takes the text of new data. */
  constructor(page) {
    this.page = page;
    this.due = null;
    this.follow();
  }

  state(text, isLive) {
    const live = byId("live");
    live.hidden = false;
    live.textContent = text;
    live.classList.toggle("is-live", isLive);
  }

  async follow() {
    let wait = WAITS.first;
    for (;;) {
      try {
        if (this.page.live.stream !== null) {
          await this.listen(() => {
            wait = WAITS.first;
          });
        }
      } catch {
        // The connection was lost, or there was none: another one is opened below.
      }
      const text = this.page.live.stream === null ? "" : "not live: trying again";
      this.state(text, false);
      byId("live").hidden = text === "";
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(2 * wait, WAITS.last);
      // The server may have other resources by now.
      await this.fetch();
    }
  }

  async listen(opened) {
    const control = new AbortController();
    let timer = setTimeout(() => control.abort(), SILENCE);
    try {
      const response = await fetch(this.page.live.stream, {
        method: "POST",
        headers: { "Content-Type": "application/alto-updatestreamparams+json", Accept: "text/event-stream,application/alto-error+json" },
        body: JSON.stringify({ add: this.page.live.add }),
        signal: control.signal,
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      this.state("live", true);
      opened();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let begun = ""; // of a line whose end has not come
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => control.abort(), SILENCE);
        // What an event says is not needed, only that one is there: keep-alives are comments.
        const text = begun + value;
        if (/^data:/m.test(text)) this.refresh(SETTLE);
        const line = text.slice(text.lastIndexOf("\n") + 1);
        begun = line.length < 5 ? line : ".";
      }
    } finally {
      clearTimeout(timer);
      control.abort();
    }
  }

  /** Fetch the data, once for all events that come together. */
  refresh(wait) {
    clearTimeout(this.due);
    this.due = setTimeout(async () => {
      if (!(await this.fetch())) this.refresh(2 * WAITS.first);
    }, wait);
  }

  /** Whether the data could be had. */
  async fetch() {
    try {
      const response = await fetch(this.page.live.data, { cache: "no-store" });
      if (response.ok) await this.page.load(await response.text());
      return response.ok;
    } catch {
      return false;
    }
  }
}
