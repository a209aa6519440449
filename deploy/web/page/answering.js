/** Who answers: makes the source that was chosen, reads its description, and looks after one that went away. */

import { ServerSource } from "./sources/server.js";
import { SourceError } from "./sources/source.js";
import { say, settle, warn } from "./view/messages.js";

/** @import { Source } from "./sources/source.js" */
/** @import { State } from "./state.js" */

const ABOUT = "source";
const FIRST_WAIT = 1; // seconds until a source that is away is looked for again; then twice as long, up to
const LONGEST_WAIT = 8;

/** How each choice of "where it is computed" becomes a source. @type {Record<string, (state: State) => Promise<Source>>} */
const MAKERS = {
  server: async (state) => new ServerSource({ key: () => state.key }),
  browser: async () => {
    let module;
    try {
      module = await import("./sources/browser.js");
    } catch (error) {
      throw new SourceError("the network for this browser isn't here: choose Server", { reason: "unsupported", cause: error });
    }
    return new module.BrowserSource();
  },
};

export class Answering {
  /**
   * @param {State} state
   * @param {object} actions
   * @param {() => void} actions.ready  photos can be asked (again)
   * @param {() => void} actions.closing  the source is about to be closed
   * @param {() => void} actions.without  the page is served without a server
   */
  constructor(state, { ready, closing, without }) {
    this.state = state;
    this.ready = ready;
    this.closing = closing;
    this.without = without;
    this.isFirst = true; // nothing has answered yet
    this.name = "server";
    /** @type {Source | null} */
    this.source = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.isAway = false;
    this.isLoading = false; // it has told its progress
    this.turn = 0; // of choices: what an earlier one still does is of no interest
    this.wait = FIRST_WAIT;
  }

  /** @param {string} name  of `MAKERS` */
  async choose(name) {
    this.closing();
    this.source?.close();
    this.source = null;
    this.name = name;
    this.state.description = null;
    this.state.note = "";
    this.isAway = false;
    settle(ABOUT);
    await this.look();
  }

  /** The source can't be reached: what waits is asked when it can. */
  away() {
    this.#later(new SourceError("the server can't be reached: see whether it runs", { reason: "unreachable" }));
  }

  /** Reads the description anew, now. */
  async look() {
    clearTimeout(this.timer);
    const turn = (this.turn += 1);
    const wasAway = this.isAway;
    try {
      if (!this.source) {
        const source = await MAKERS[this.name](this.state);
        if (turn !== this.turn) return source.close();
        source.onprogress = (text) => {
          this.isLoading = true;
          say(text);
        };
        this.source = source;
      }
      const description = await this.source.describe();
      if (turn !== this.turn) return;
      this.state.description = description;
      this.state.note = this.source.note ?? "";
      const wasStarting = this.isFirst;
      this.isFirst = false;
      this.isAway = false;
      this.wait = FIRST_WAIT;
      this.state.changed("description");
      settle(ABOUT);
      if (wasAway) say(wasStarting ? "the server is ready" : "the server is back");
      else if (this.isLoading) say("the network is ready");
      this.isLoading = false;
      this.ready();
    } catch (error) {
      if (turn === this.turn) this.#later(error);
    }
  }

  /** @param {unknown} error */
  #later(error) {
    if (this.isFirst && this.name === "server" && error instanceof SourceError && error.reason === "path") {
      this.isFirst = false;
      return this.without();
    }
    const passes = error instanceof SourceError && (error.reason === "unreachable" || error.retryAfter !== null);
    const sentence = error instanceof Error ? error.message : String(error);
    const action = { name: "Ask again", run: () => void this.look() };
    if (error instanceof SourceError && error.retryAfter !== null) {
      settle(ABOUT); // it answers, and says when to ask again: nothing is wrong
      say(`${sentence.replace(/\.$/, "")}; this page waits for it`);
    } else {
      warn(sentence, { action, about: ABOUT });
    }
    this.isAway = passes;
    if (!passes) return;
    const seconds = /** @type {SourceError} */ (error).retryAfter ?? this.wait;
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), Math.max(FIRST_WAIT, seconds) * 1000);
  }
}
