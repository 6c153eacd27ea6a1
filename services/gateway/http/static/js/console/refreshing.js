// Reading again and again, as long as somebody looks.

/** Calls `read`, which is asynchronous and raises nothing, `periodMs` after it was done last, while the page is visible. */
export class Refreshing {
  #read;
  #periodMs;
  #timer = 0;
  #isReading = false;
  #isGoing = false;
  #look = () => (document.visibilityState === "visible" ? this.now() : clearTimeout(this.#timer));

  constructor(read, periodMs) {
    this.#read = read;
    this.#periodMs = periodMs;
  }

  start() {
    if (this.#isGoing) return;
    this.#isGoing = true;
    document.addEventListener("visibilitychange", this.#look);
    this.#wait();
  }

  stop() {
    this.#isGoing = false;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#look);
  }

  /** Reads at once, and then goes on. */
  async now() {
    clearTimeout(this.#timer);
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      await this.#read();
    } finally {
      this.#isReading = false;
    }
    this.#wait();
  }

  #wait() {
    clearTimeout(this.#timer);
    if (this.#isGoing && document.visibilityState === "visible") this.#timer = setTimeout(() => this.now(), this.#periodMs);
  }
}
