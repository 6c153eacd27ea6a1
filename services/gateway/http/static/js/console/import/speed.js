// How fast something goes, seen over its last half minute.

const WINDOW_MS = 30_000;
// Less says nothing yet.
const MIN_MS = 2_000;

export class Speed {
  #seen = [];

  /** Notes how much is done by now. */
  note(done, now = performance.now()) {
    this.#seen.push([now, done]);
    while (now - this.#seen[0][0] > WINDOW_MS && this.#seen.length > 2) this.#seen.shift();
  }

  /** How much is done in a second; null while that is not known. */
  get perSecond() {
    const [[since, before] = [0, 0]] = this.#seen;
    const [now, done] = this.#seen.at(-1) ?? [0, 0];
    return now - since < MIN_MS || done === before ? null : ((done - before) * 1000) / (now - since);
  }
}
