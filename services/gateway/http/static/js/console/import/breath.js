// Long work in pieces, so that the page answers meanwhile.

const PIECE_MS = 12;
let since = performance.now();

/** Lets the page do what waits, when the present piece of work has taken long enough. */
export async function breath() {
  if (performance.now() - since < PIECE_MS) return;
  // A message is no timer: timers of a tab in the background come once a second.
  await new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
  since = performance.now();
}
