// What Node has read, as JSON.
import { createServer } from 'node:http';

createServer(async (request, response) => {
    let body = '';
    request.setEncoding('latin1');
    for await (const part of request) {
        body += part;
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({
        method: request.method,
        target: request.url,
        body,
        host: request.headers.host,
        x: request.headers['x-mine']?.replaceAll(', ', ',') ?? null,
        for: request.headers['x-forwarded-for'],
    }));
}).listen(Number(process.argv[2]), '127.0.0.1');
