// An import on its way: batches sent two at a time, tried again where the gateway is busy, paused and stopped at will.

import * as api from "/js/api.js";
import { batches } from "/js/console/import/batches.js";
import { messageOf } from "/js/console/import/message.js";
import { problem } from "/js/console/import/problems.js";
import { Speed } from "/js/console/import/speed.js";

const IN_FLIGHT = 2;
// About a minute and a half altogether; then the visitor decides.
const MAX_TRIES = 8;
const FIRST_DELAY_S = 0.5;
const MAX_DELAY_S = 30;
const MAX_ROUNDS = 4;
// Statuses of calls that found the gateway busy, away or slow.
const PASSING = new Set([429, 503, 504]);
// Codes of google.rpc of products whose pictures could not be had just now.
const PASSING_CODES = new Set([8, 14]);
const BAD_REQUEST = 400;
const TOO_LARGE = 413;

/** Whether the batch itself is at fault, so that smaller ones may do: only what is wrong in a request names a field. */
const isItsOwn = ({ status, reason, field }) =>
  status === TOO_LARGE || (status === BAD_REQUEST && (reason === "INVALID_ARGUMENT" || Boolean(field)));

/** Where a run can be. */
export const RUNNING = "running";
export const PAUSED = "paused";
export const STOPPING = "stopping";
export const ENDED = "ended";

/** Names a call, so that one that is made again writes nothing twice. */
function callId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([from, to]) => hex.slice(from, to)).join("-");
}

/** Tells of what changes by `change` events. */
export class Run extends EventTarget {
  state = RUNNING;
  written = 0;
  unchanged = 0;
  /** Products that are not written, and all problems, those of single photos too. */
  failed = 0;
  problems = [];
  /** Written products that look like others. */
  alike = 0;
  /** Why it paused by itself, or what it waits for; an api.Problem. */
  trouble = null;
  wasStopped = false;
  speed = new Speed();
  #late = [];
  #woken = new Set();

  constructor(catalog, source) {
    super();
    Object.assign(this, { catalog, source, total: source.total });
  }

  get done() {
    return this.written + this.unchanged + this.failed;
  }

  /** Imports all there is; whatever befalls it, it ends, and with nothing on its way any more. */
  async start() {
    const sending = new Set();
    try {
      await this.#sendAll(sending);
      await this.#sendLate();
    } catch (error) {
      this.stop();
      throw error;
    } finally {
      await Promise.allSettled(sending);
      Object.assign(this, { state: ENDED, trouble: null });
      this.#tell();
    }
  }

  /** Sends batch after batch; `sending` has those that are on their way. */
  async #sendAll(sending) {
    for await (const batch of batches(this.catalog, this.source.items())) {
      batch.problems.forEach((one) => this.#fail(one, { isLost: one.lost }));
      await this.#going();
      if (this.wasStopped) break;
      if (batch.entries.length) {
        // One that breaks stays, so that it is noticed below.
        const sent = this.#send(batch.entries).then(() => sending.delete(sent));
        sent.catch(() => this.stop());
        sending.add(sent);
      }
      while (sending.size >= IN_FLIGHT) await Promise.race(sending);
    }
    await Promise.all(sending);
  }

  pause(trouble = null) {
    if (this.state !== RUNNING) return;
    Object.assign(this, { state: PAUSED, trouble });
    this.#tell();
  }

  resume() {
    if (this.state !== PAUSED) return;
    Object.assign(this, { state: RUNNING, trouble: null, speed: new Speed() });
    this.#wake();
  }

  /** Sends nothing more; what is being written is waited for. */
  stop() {
    if (this.state === ENDED) return;
    Object.assign(this, { state: STOPPING, wasStopped: true, trouble: null });
    this.#wake();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  #wake() {
    for (const wake of this.#woken) wake();
    this.#tell();
  }

  /** Waits for that long, or until somebody resumes or stops. */
  #wait(seconds) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#woken.delete(wake);
        resolve();
      };
      const timer = Number.isFinite(seconds) ? setTimeout(wake, seconds * 1000) : 0;
      this.#woken.add(wake);
    });
  }

  async #going() {
    while (this.state === PAUSED) await this.#wait(Infinity);
  }

  async #send(entries) {
    const requestId = callId();
    for (let tries = 1; ; tries += 1) {
      await this.#going();
      if (this.wasStopped) return;
      try {
        const { results } = await api.upsertProducts(this.catalog, entries.map(({ message }) => message), requestId);
        this.#count(entries, results);
        return;
      } catch (error) {
        if (!(error instanceof api.Problem)) throw error;
        if (isItsOwn(error)) return this.#refused(entries, error);
        if (tries % MAX_TRIES === 0 || !(PASSING.has(error.status) || error.reason === api.NO_CONNECTION)) this.pause(error);
        else await this.#delay(error, tries % MAX_TRIES);
      }
    }
  }

  async #delay(error, tries) {
    this.trouble = error;
    this.#tell();
    await this.#wait(Math.min(MAX_DELAY_S, Math.max(error.retryAfter ?? 0, FIRST_DELAY_S * 2 ** (tries - 1))));
    if (this.trouble === error && this.state !== PAUSED) this.trouble = null;
    this.#tell();
  }

  /** One product can spoil a batch: the halves are sent by themselves, until it is found. */
  async #refused(entries, error) {
    if (entries.length > 1) {
      const middle = Math.ceil(entries.length / 2);
      for (const half of [entries.slice(0, middle), entries.slice(middle)]) await this.#send(half);
      return;
    }
    this.#fail(this.#said(entries[0].draft, error.detail), { isLost: true });
  }

  #said({ row, id }, said) {
    return problem(row, "", { said }, id);
  }

  #count(entries, results) {
    results.forEach((result, place) => {
      const { draft, rounds = 0 } = entries[place];
      const { status } = result;
      if (status && PASSING_CODES.has(status.code) && rounds < MAX_ROUNDS) {
        // Without its photos, of which there may be many: they are read again.
        this.#late.push({ draft, rounds: rounds + 1 });
        return;
      }
      for (const one of result.photo_problems ?? []) this.#fail(this.#said(draft, one.status.message), { isLost: false });
      if (status) this.#fail(this.#said(draft, status.message), { isLost: true });
      else if (result.unchanged) this.unchanged += 1;
      else this.written += 1;
      if (result.near_duplicates?.length) this.alike += 1;
    });
    this.speed.note(this.done);
    this.#tell();
  }

  #fail(one, { isLost }) {
    this.problems.push(one);
    if (isLost) this.failed += 1;
    this.#tell();
  }

  /** Products whose pictures could not be fetched get other chances, less and less often. */
  async #sendLate() {
    for (let round = 1; this.#late.length && !this.wasStopped; round += 1) {
      await this.#wait(2 ** (round - 1));
      for (const { draft, rounds } of this.#late.splice(0)) {
        if (this.wasStopped) return;
        const { message, problems } = await messageOf(this.catalog, draft);
        if (message) await this.#send([{ draft, message, rounds }]);
        else this.#fail(problems[0], { isLost: true });
      }
    }
  }
}
