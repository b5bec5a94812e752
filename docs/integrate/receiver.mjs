// A receiver of tiketi's webhooks: node receiver.mjs, with WEBHOOK_SECRETS and PORT. It verifies, takes each event once, in
// order, and keeps them in a file. `npm install standardwebhooks`
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const FILE = process.env.FILE ?? 'events.ndjson';
const secrets = process.env.WEBHOOK_SECRETS.split(' ').map((secret) => new Webhook(secret)); // two while one is replaced
const seen = new Set(existsSync(FILE) ? readFileSync(FILE, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line).id) : []);

function verified(body, headers) {
  for (const secret of secrets) {
    try {
      return secret.verify(body, headers);
    } catch { /* the other one, or nobody */ }
  }
  return null;
}

createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const event = verified(Buffer.concat(chunks).toString('utf8'), request.headers);
    if (!event) return response.writeHead(401).end();
    if (!seen.has(event.id) && event.type !== 'webhook.test') {
      appendFileSync(FILE, `${JSON.stringify(event)}\n`); // what you do with it; if it throws, the event comes again
      seen.add(event.id);
    }
    return response.writeHead(204).end(); // only now: it counts as delivered
  });
}).listen(Number(process.env.PORT ?? 9000));
