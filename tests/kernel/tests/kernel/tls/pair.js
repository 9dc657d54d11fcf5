// A server and a client over Node's own OpenSSL in one program: /warm until a line comes, then as many requests as asked for.
const fs = require("fs");
const https = require("https");
const number = Number(process.argv[2]);

const server = https.createServer(
  { key: fs.readFileSync("key.pem"), cert: fs.readFileSync("cert.pem") },
  (request, answer) => {
    answer.statusCode = { "/missing": 404, "/broken": 500 }[request.url] || 200;
    answer.end("hello");
  },
);

function ask(agent, path) {
  return new Promise((done, failed) => {
    const port = server.address().port;
    const options = { host: "127.0.0.1", port, path, agent, rejectUnauthorized: false };
    const request = https.get(options, (answer) => {
      answer.resume();
      answer.on("end", done);
    });
    request.on("error", failed);
  });
}

async function main() {
  let told = false;
  process.stdin.once("data", () => (told = true));
  while (!told) {
    // a connection of before the library was found is met in its middle
    const warm = new https.Agent({ keepAlive: false });
    await ask(warm, "/warm");
    await new Promise((done) => setTimeout(done, 20));
  }
  const paths = ["/ok", "/missing", "/ok", "/ok", "/broken", "/ok"];
  const part = async () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    for (let index = 0; index < number / 5; index++) {
      await ask(agent, paths[index % paths.length]);
    }
    agent.destroy();
  };
  await Promise.all([1, 2, 3, 4, 5].map(part));
  process.exit(0);
}

server.listen({ host: "127.0.0.1", port: 0 }, () => main());
