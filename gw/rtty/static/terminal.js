// The page of one terminal session. Its address is the session; see docs/remote-terminal.md.
import { Terminal } from "/xterm.mjs";
import { FitAddon } from "/addon-fit.mjs";

const state = document.getElementById("state");
const terminal = new Terminal({ cursorBlink: true, scrollback: 5000 });
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(document.getElementById("terminal"));
fit.fit();

const socket = new WebSocket(`wss://${location.host}${location.pathname}`);
socket.binaryType = "arraybuffer";
const encoder = new TextEncoder();
let over = false;

function say(text, ended) {
  state.textContent = text;
  state.classList.toggle("ended", ended);
  over = over || ended;
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(message);
}

function type(bytes) {
  // The first byte is for the gateway: 0 says that keystrokes follow.
  const framed = new Uint8Array(bytes.length + 1);
  framed.set(bytes, 1);
  send(framed);
}

function resized() {
  send(JSON.stringify({ type: "winsize", cols: terminal.cols, rows: terminal.rows }));
}

socket.onopen = () => {
  say("Waiting for the device\u2026", false);
  resized();
};
socket.onmessage = ({ data }) => {
  if (data instanceof ArrayBuffer) {
    terminal.write(new Uint8Array(data));
    return;
  }
  const told = JSON.parse(data);
  if (told.type === "login" && told.err === 0) {
    say("Connected", false);
    terminal.focus();
  } else if (told.type === "login") {
    say(`Not connected: ${told.text || `the device answered with error ${told.err}`}`, true);
  } else if (told.type === "logout") {
    say(`Ended: ${told.reason}`, true);
  }
};
socket.onclose = () => {
  if (!over) say("The connection is lost. Ask for a new terminal.", true);
  terminal.options.disableStdin = true;
};
terminal.onData((text) => type(encoder.encode(text)));
terminal.onBinary((text) => type(Uint8Array.from(text, (one) => one.charCodeAt(0))));
terminal.onResize(resized);
window.addEventListener("resize", () => fit.fit());
