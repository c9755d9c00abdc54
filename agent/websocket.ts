/**
 * MQTT over WebSocket (MQTT 3.1.1 and 5.0, section 6), both ways: each connection becomes the byte
 * stream that the seats know, with its backpressure. Packets may begin and end anywhere in the
 * frames [MQTT-6.0.0-2]; a text frame ends the connection [MQTT-6.0.0-1]; the subprotocol is `mqtt`
 * [MQTT-6.0.0-3] [MQTT-6.0.0-4]. Imported only where the config has such a seat.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import { websocketMessageBytes } from './bounds.ts';

const subprotocols = ['mqtt', 'mqttv3.1'];
const upgradeRequired = 426;
const unsupported = 1003;

/** @param accept gets the stream of a device and the request it came with */
export function serveWebSocket(
  server: Server,
  maxFrameBytes: number,
  accept: (stream: Duplex, request: IncomingMessage) => void,
): void {
  server.on('request', (_request, response) => {
    response.writeHead(upgradeRequired, { upgrade: 'websocket', connection: 'close' });
    response.end('MQTT over WebSocket: upgrade with the subprotocol mqtt.\n');
  });
  const sockets = new WebSocketServer({
    server,
    maxPayload: maxFrameBytes,
    perMessageDeflate: false,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
  });
  // What the HTTP server reports is reported by whoever listens.
  sockets.on('error', () => {});
  sockets.on('connection', (socket, request) => {
    if (socket.protocol === '') socket.close(unsupported, 'the subprotocol is mqtt');
    else accept(streamOf(socket), request);
  });
}

function streamOf(socket: WebSocket): Duplex {
  socket.on('message', (_bytes, isBinary) => {
    if (!isBinary) socket.close(unsupported, 'binary frames only');
  });
  return createWebSocketStream(socket, { allowHalfOpen: true });
}

/** A client's side. @param secure what TLS needs */
export function openWebSocket(url: string, secure: object): Duplex {
  const socket = new WebSocket(url, ['mqtt'], {
    ...secure,
    perMessageDeflate: false,
    maxPayload: websocketMessageBytes,
  });
  return createWebSocketStream(socket);
}
