// Draws /openapi.json. Everything is put in as text, never as markup.
"use strict";

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const byId = (id) => document.getElementById(id);
const nameOf = (reference) => reference.split("/").pop();
const plural = (count, word) => count + " " + word + (count === 1 ? "" : "s");

/** Text in which `...` stands for code. */
function prose(text) {
  return (text || "").split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));
}

/** The type of a schema, with links to the schemas that it names. */
function typeOf(schema) {
  if (!schema || Object.keys(schema).length === 0) return ["any JSON"];
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return [element("a", { href: "#schema-" + name }, name)];
  }
  const parts = schema.anyOf || schema.oneOf || schema.allOf;
  if (parts) {
    const word = schema.allOf ? " and " : " or ";
    return parts.flatMap((part, i) => (i ? [word, ...typeOf(part)] : typeOf(part)));
  }
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(" | ")];
  if (schema.type === "array") return ["array of ", ...typeOf(schema.items)];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return ["object of ", ...typeOf(schema.additionalProperties)];
  }
  return [Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "any JSON"];
}

/** A table; `label` says to those who do not see it what it holds. A last column is prose. */
function table(label, head, rows) {
  return element("div", { class: "table" }, element("table", { "aria-label": label },
    element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, rows.map((cells) => element("tr", {}, cells.map((cell, i) =>
      element("td", i === cells.length - 1 ? { class: "note" } : {}, cell)))))));
}

const defaultOf = (schema) =>
  schema && schema.default !== undefined && schema.default !== "" ? JSON.stringify(schema.default) : "";

function parametersOf(parameters) {
  return table("Parameters", ["Parameter", "In", "Type", "Default", "Meaning"],
    parameters.map((one) => [element("code", {}, one.name), one.in, typeOf(one.schema),
      element("code", {}, defaultOf(one.schema)), prose(one.description)]));
}

function contentOf(content) {
  return content ? typeOf(Object.values(content)[0].schema) : ["no body"];
}

/** The operation as a command line. */
function exampleOf(path, method, operation) {
  const lines = ["curl --cacert ca.pem" + (method === "get" ? "" : " -X " + method.toUpperCase())];
  if (!operation.security) lines.push("  -H \"Authorization: Bearer $TOKEN\"");
  if (operation.requestBody) lines.push("  -H \"Content-Type: application/json\" -d @body.json");
  lines.push("  \"" + location.origin + path + "\"");
  return lines.join(" \\\n");
}

function drawOperation(path, method, operation) {
  const inner = element("div", {});
  if (operation.description) inner.append(element("p", {}, prose(operation.description)));
  if (operation.security && operation.security.length === 0) {
    inner.append(element("p", { class: "faint" }, "No token is needed."));
  }
  if (operation.parameters.length) {
    inner.append(element("h4", {}, "Parameters"), parametersOf(operation.parameters));
  }
  if (operation.requestBody) {
    inner.append(element("h4", {}, "Body"),
      element("p", {}, contentOf(operation.requestBody.content)));
  }
  inner.append(element("h4", {}, "Answers"), table("Answers", ["Status", "Body", "Meaning"],
    Object.entries(operation.responses).map(([status, answer]) =>
      [element("code", {}, status), contentOf(answer.content), prose(answer.description)])));
  inner.append(element("h4", {}, "Example"),
    element("pre", { tabindex: "0", "aria-label": "Example" },
      element("code", {}, exampleOf(path, method, operation))));
  return element("details", { class: "operation", id: "operation-" + operation.operationId },
    element("summary", {},
      element("span", { class: "method " + method }, method.toUpperCase()), " ",
      element("code", {}, path), " ",
      element("span", { class: "what" }, operation.summary)),
    inner);
}

function drawSchema(name, schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([key, one]) => [
    element("code", {}, key), typeOf(one), required.has(key) ? "always" : "",
    element("code", {}, defaultOf(one)), prose(one.description)]);
  return element("article", { id: "schema-" + name },
    element("h3", {}, element("code", {}, name)),
    schema.description ? element("p", {}, prose(schema.description)) : null,
    rows.length ? table("Members of " + name, ["Member", "Type", "There", "Default", "Meaning"], rows) : null);
}

function drawOther(other) {
  if (!other || !other.port) return;
  byId("other").append(" · ", element("a",
    { href: location.protocol + "//" + location.hostname + ":" + other.port + "/docs" },
    "API of the other listener: " + other.title));
}

function draw(openapi) {
  document.title = openapi.info.title + ": API document";
  byId("title").textContent = openapi.info.title + ": API document";
  byId("version").textContent = openapi.info.version;
  byId("about").append(...prose(openapi.info.description));
  drawOther(openapi["x-other-listener"]);
  const groups = new Map();
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, operation });
    }
  }
  for (const [tag, entries] of groups) {
    const id = "tag-" + tag.toLowerCase().replaceAll(" ", "-");
    const section = element("section", { "aria-labelledby": id }, element("h2", { id }, tag));
    const list = element("ul", {});
    for (const { path, method, operation } of entries) {
      const text = (method + " " + path + " " + operation.summary).toLowerCase();
      const drawn = drawOperation(path, method, operation);
      const item = element("li", {},
        element("a", { href: "#operation-" + operation.operationId },
          element("span", { class: "method " + method }, method.toUpperCase()), " ",
          operation.summary));
      drawn.dataset.text = item.dataset.text = text;
      section.append(drawn);
      list.append(item);
    }
    byId("operations").append(section);
    byId("index").append(element("div", { class: "group" }, element("h2", {}, tag), list));
  }
  byId("schemas").append(element("h2", { id: "schemas-title" }, "Schemas"),
    ...Object.entries(openapi.components.schemas).map(([name, schema]) => drawSchema(name, schema)));
}

/** Opens the operation that the address names, and puts the focus on it. */
function openNamed() {
  const named = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (!named) return;
  if (named.tagName === "DETAILS") {
    named.open = true;
    named.querySelector("summary").focus({ preventScroll: true });
  }
  named.scrollIntoView();
}

function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const one of document.querySelectorAll("[data-text]")) {
    one.hidden = !words.every((word) => one.dataset.text.includes(word));
    if (!one.hidden && one.tagName === "DETAILS") shown += 1;
  }
  for (const group of document.querySelectorAll("#operations > section, #index > .group")) {
    group.hidden = !group.querySelector("[data-text]:not([hidden])");
  }
  byId("schemas").hidden = words.length > 0;
  byId("state").textContent = plural(shown, "operation");
}

function toggleAll() {
  const open = byId("all").textContent === "Open all";
  byId("all").textContent = open ? "Close all" : "Open all";
  for (const one of document.querySelectorAll("details.operation")) one.open = open;
}

async function main() {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error("HTTP status " + answer.status);
    draw(await answer.json());
    filter();
    openNamed();
  } catch (error) {
    byId("state").textContent = "The document could not be loaded: " + error.message;
  }
}

byId("filter").addEventListener("input", filter);
byId("all").addEventListener("click", toggleAll);
window.addEventListener("hashchange", openNamed);
window.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && event.target.tagName !== "INPUT") {
    event.preventDefault();
    byId("filter").focus();
  }
});
main();
