// Makes the calls of the community UI as its axios instances do: XMLHttpRequest, a bearer token,
// base addresses by discovery, and a socket of the gateway.
"use strict";

const show = (id, text) => { document.getElementById(id).textContent = String(text); };
const hide = (id, hidden) => { document.getElementById(id).hidden = hidden; };
const value = (id) => document.getElementById(id).value;
const on = (id, action) => document.getElementById(id).addEventListener("click", action);

const sec = `${window._env_.REACT_APP_UCENTRALSEC_URL}/api/v1`;
const base = { sec, gw: sec, fms: sec, prov: sec };
let token = "";

function call(service, method, path, body, responseType = "json") {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open(method, `${base[service]}/${path}`);
    request.timeout = 120000;
    request.responseType = responseType;
    request.setRequestHeader("Accept", "application/json");
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    if (body !== undefined) request.setRequestHeader("Content-Type", "application/json");
    request.onloadend = () => resolve({
      status: request.status,
      data: request.response,
      disposition: responseType === "arraybuffer" && request.status === 200
        ? request.getResponseHeader("Content-Disposition") : null,
    });
    request.send(body === undefined ? null : JSON.stringify(body));
  });
}

// -- session

async function signIn(more) {
  const body = { userId: value("user"), password: value("password"), ...more };
  const { status, data } = await call("sec", "POST", "oauth2", body);
  if (status === 200) {
    token = data.access_token;
    await load();
    return;
  }
  show("login-error", `${data.ErrorCode}: ${data.ErrorDescription}`);
  if (data.ErrorCode === 1) hide("change", false);
}

async function load() {
  const me = (await call("sec", "GET", "oauth2?me=true")).data;
  const { endpoints } = (await call("sec", "GET", "systemEndpoints")).data;
  for (const { type, uri } of endpoints) {
    if (type === "owgw") base.gw = `${uri}/api/v1`;
  }
  const preferences = (await call("sec", "GET", "preferences")).data.data;
  const schema = await fetch(`${base.prov.split("/api")[0]}/wwwassets/ucentral.schema.pretty.json`);
  show("schema", `${Object.keys((await schema.json()).$defs).length} definitions`);
  show("me", `${me.email} ${me.userRole} ${preferences.length}`);
  hide("login", true);
  hide("main", false);
  if (base.gw !== base.sec) startSocket();
  window.onhashchange = route;
  await route();
}

function startSocket() {
  const socket = new WebSocket(`${base.gw.replace("https", "wss")}/ws`);
  socket.onopen = () => { socket.send(`token:${token}`); };
  socket.onclose = () => { show("socket", "closed"); };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.notificationTypes) show("socket", "open");
    const { type_id: type, content } = message.notification ?? {};
    if (type === 1000) show("connected", content.numberOfDevices);
    if ([4000, 5000, 6000].includes(type)) refresh(type, content.serialNumber);
  };
}

// -- pages

const serialShown = () => location.hash.match(/^#\/devices\/([0-9a-f]{12})$/)?.[1];

async function route() {
  const serial = serialShown();
  hide("devices", serial !== undefined);
  hide("device", serial === undefined);
  if (serial) await openDevice(serial); else await listDevices();
}

async function refresh(type, serial) {
  if (!serialShown()) {
    if (type !== 6000) await listDevices();
  } else if (serial === serialShown()) {
    if (type !== 6000) await showStatus(serial);
    await showStatistics(serial);
  }
}

async function listDevices() {
  const { count } = (await call("gw", "GET", "devices?countOnly=true&platform=all")).data;
  const query = "devices?deviceWithStatus=true&limit=10&offset=0&platform=all";
  const { devicesWithStatus } = (await call("gw", "GET", query)).data;
  const rows = devicesWithStatus.map((device) => {
    const row = document.createElement("tr");
    row.id = device.serialNumber;
    row.innerHTML = `<td><a href="#/devices/${device.serialNumber}">${device.serialNumber}</a></td>`
      + `<td>${device.connected ? "up" : "down"}</td><td>${device.deviceType}</td>`
      + `<td>${device.sanity} of ${count}</td>`;
    return row;
  });
  document.getElementById("devices").replaceChildren(...rows);
}

async function openDevice(serial) {
  show("serial", serial);
  const device = (await call("gw", "GET", `device/${serial}`)).data;
  document.getElementById("configuration").value = JSON.stringify(device.configuration);
  await Promise.all([showStatus(serial), showStatistics(serial), showLogs(serial)]);
}

async function showStatus(serial) {
  show("status", (await call("gw", "GET", `device/${serial}/status`)).data.connected);
  const query = `device/${serial}/healthchecks?newest=true&limit=1`;
  show("sanity", (await call("gw", "GET", query)).data.values[0]?.sanity);
}

async function showStatistics(serial) {
  const last = (await call("gw", "GET", `device/${serial}/statistics?lastOnly=true`)).data;
  show("sequence", last.unit?.sequence);
  const query = `device/${serial}/statistics?newest=true&limit=30`;
  show("states", (await call("gw", "GET", query)).data.data.length);
}

async function showLogs(serial) {
  const item = (text) => Object.assign(document.createElement("li"), { textContent: text });
  const logs = await call("gw", "GET", `device/${serial}/logs?newest=true&limit=30&logType=0`);
  document.getElementById("logs").replaceChildren(...logs.data.values.map((one) => item(one.log)));
  const query = `commands?serialNumber=${serial}&newest=true&limit=30`;
  const { commands } = (await call("gw", "GET", query)).data;
  const texts = commands.map((one) => item(`${one.command} ${one.status} ${one.errorCode}`));
  document.getElementById("commands").replaceChildren(...texts);
}

// -- actions

const command = (name, body) => async (serialNumber) => {
  const more = typeof body === "function" ? body() : body;
  return call("gw", "POST", `device/${serialNumber}/${name}`, { serialNumber, when: 0, ...more });
};

async function withFile(serial, answer) {
  const path = `file/${answer.data.UUID}?serialNumber=${serial}`;
  let file;
  do {
    await new Promise((resolve) => { setTimeout(resolve, 100); });
    file = await call("gw", "GET", path, undefined, "arraybuffer");
  } while (file.status === 202);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file.data]));
  link.download = file.disposition?.match(/filename="?([^";]+)/)?.[1] ?? "unnamed";
  link.click();
  return answer;
}

const trace = command("trace", { network: "up", duration: 5 });
const diagnostics = command("script", { type: "diagnostic", deferred: true });
const ACTIONS = {
  configure: command("configure", () => ({ UUID: 1, configuration: JSON.parse(value("configuration")) })),
  ping: command("ping", {}),
  blink: command("leds", { pattern: "blink", duration: 30 }),
  scan: command("wifiscan", { override_dfs: true, activeScan: false, bandwidth: "80" }),
  trace: async (serial) => withFile(serial, await trace(serial)),
  script: command("script", { type: "shell", deferred: false, timeout: 30, script: btoa("uptime") }),
  diagnostics: async (serial) => withFile(serial, await diagnostics(serial)),
  note: (serial) => call("gw", "PUT", `device/${serial}`, { notes: [{ note: "from the browser" }] }),
  firmware: () => call("fms", "PUT", "firmwares?update=true", {}),
  reboot: command("reboot", {}),
  live: async (serialNumber) => {
    const body = { serialNumber, interval: 1, lifetime: 60, kafka: false, types: ["state"] };
    const answer = await call("gw", "POST", `device/${serialNumber}/telemetry`, body);
    const socket = new WebSocket(answer.data.uri);
    socket.onopen = () => { socket.send(`token:${token}`); };
    const first = await new Promise((resolve) => { socket.onmessage = resolve; });
    socket.close();
    return { status: answer.status, data: JSON.parse(first.data) };
  },
};
for (const [name, action] of Object.entries(ACTIONS)) {
  const button = Object.assign(document.createElement("button"), { id: name, textContent: name });
  button.onclick = async () => {
    show("result", "");
    const { status, data } = await action(serialShown());
    show("result", `${status} ${JSON.stringify(data)}`);
    await showLogs(serialShown());
  };
  document.getElementById("actions").append(button);
}

on("sign-in", () => signIn({}));
on("change-password", () => signIn({ newPassword: value("new-password") }));
on("sign-out", async () => {
  await call("sec", "DELETE", `oauth2/${token}`);
  const after = await call("gw", "GET", "devices?countOnly=true");
  hide("main", true);
  hide("login", false);
  show("login-error", `signed out, then ${after.status} ${after.data.ErrorCode}`);
});
