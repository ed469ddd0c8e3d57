// A page that a server shows follows the server's update stream (RFC 8895): an event tells that there is something new,
// and the data are fetched again.

const SILENCE = 50000; // milliseconds: servers say something every 15 to 30 s
const SETTLE = 150; // milliseconds in which several events become one fetch
const WAITS = { first: 1000, last: 30000 };

class LiveUpdates {
  /** `settings` is what page.py's Live says; `take` is called with the text of new data. */
  constructor(settings, take) {
    this.settings = settings;
    this.take = take;
    this.due = null;
    if (settings.stream !== null) this.follow();
  }

  state(text, isLive) {
    const live = byId("live");
    live.hidden = false;
    live.textContent = text;
    live.classList.toggle("is-live", isLive);
  }

  async follow() {
    for (let wait = WAITS.first; ; wait = Math.min(2 * wait, WAITS.last)) {
      try {
        await this.listen(() => {
          wait = WAITS.first;
        });
      } catch {
        // The connection was lost, or there was none: another one is opened below.
      }
      this.state("not live: trying again", false);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async listen(opened) {
    const control = new AbortController();
    let timer = setTimeout(() => control.abort(), SILENCE);
    try {
      const response = await fetch(this.settings.stream, {
        method: "POST",
        headers: { "Content-Type": "application/alto-updatestreamparams+json", Accept: "text/event-stream,application/alto-error+json" },
        body: JSON.stringify({ add: this.settings.add }),
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
      try {
        const response = await fetch(this.settings.data, { cache: "no-store" });
        if (response.ok) await this.take(await response.text());
      } catch {
        this.refresh(WAITS.first * 2);
      }
    }, wait);
  }
}
