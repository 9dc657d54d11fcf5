// An event loop: asks the next service twice, one after the other, before it answers; with the argument `sleep` it sleeps
// before, so that what it asks comes out of a timer; with `once` it asks once.
const http = require("http");
const next = process.argv[2];
const sleeps = process.argv[3] === "sleep";
const once = process.argv[3] === "once";
const agent = new http.Agent({ keepAlive: true });

function ask(path, id) {
  return new Promise((done, failed) => {
    const [host, port] = next.split(":");
    const request = http.get({ host, port, path, agent, headers: { "X-Request-Id": id } }, (answer) => {
      answer.resume();
      answer.on("end", done);
    });
    request.on("error", failed);
  });
}

const server = http.createServer(async (request, answer) => {
  const id = request.headers["x-request-id"];
  if (next) {
    if (sleeps) {
      await new Promise((done) => setTimeout(done, Math.random() * 10));
    }
    await ask(request.url, id);
    if (!once) {
      await ask(request.url, id);
    }
  }
  answer.end("ok");
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 128 }, () => console.log("port", server.address().port));
