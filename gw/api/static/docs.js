// Draws /openapi.json. Everything is put in as text, never as markup.
"use strict";

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const byId = (id) => document.getElementById(id);
const nameOf = (reference) => reference.split("/").pop();

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

function table(head, rows) {
  return element("div", { class: "table" }, element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", {}, text)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {},
      ...cells.map((cell) => element("td", {}, ...[].concat(cell))))))));
}

const defaultOf = (schema) =>
  schema && schema.default !== undefined && schema.default !== "" ? JSON.stringify(schema.default) : "";

function parametersOf(parameters) {
  return table(["Parameter", "In", "Type", "Default"], parameters.map((one) => [
    element("code", {}, one.name), one.in, typeOf(one.schema), defaultOf(one.schema)]));
}

function contentOf(content) {
  return content ? typeOf(Object.values(content)[0].schema) : ["no body"];
}

function drawOperation(path, method, operation) {
  const inner = element("div", {});
  if (operation.description) inner.append(element("p", {}, operation.description));
  if (operation.security && operation.security.length === 0) {
    inner.append(element("p", { class: "faint" }, "No token is needed."));
  }
  if (operation.parameters.length) {
    inner.append(element("h4", {}, "Parameters"), parametersOf(operation.parameters));
  }
  if (operation.requestBody) {
    inner.append(element("h4", {}, "Body"), element("p", {}, ...contentOf(operation.requestBody.content)));
  }
  inner.append(element("h4", {}, "Answers"), table(["Status", "Body", "Meaning"],
    Object.entries(operation.responses).map(([status, answer]) =>
      [element("code", {}, status), contentOf(answer.content), answer.description])));
  return element("details", { class: "operation", id: "operation-" + operation.operationId },
    element("summary", {},
      element("span", { class: "method " + method }, method.toUpperCase()),
      element("code", {}, path),
      element("span", { class: "what" }, operation.summary)),
    inner);
}

function drawSchema(name, schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([key, one]) => [
    element("code", {}, key), typeOf(one), required.has(key) ? "always" : "", defaultOf(one)]);
  return element("article", { id: "schema-" + name },
    element("h4", {}, element("code", {}, name)),
    schema.description ? element("p", {}, schema.description) : null,
    rows.length ? table(["Member", "Type", "", "Default"], rows) : null);
}

function draw(openapi) {
  byId("title").textContent = openapi.info.title + ": API document";
  byId("version").textContent = openapi.info.version;
  byId("about").textContent = openapi.info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, operation });
    }
  }
  for (const [tag, entries] of groups) {
    const section = element("section", {}, element("h3", {}, tag));
    const index = element("div", { class: "group" }, element("h3", {}, tag));
    for (const { path, method, operation } of entries) {
      const text = (method + " " + path + " " + operation.summary).toLowerCase();
      const drawn = drawOperation(path, method, operation);
      const link = element("a", { class: "entry", href: "#operation-" + operation.operationId },
        element("span", { class: "method " + method }, method.toUpperCase()), operation.summary);
      drawn.dataset.text = link.dataset.text = text;
      section.append(drawn);
      index.append(link);
    }
    byId("operations").append(section);
    byId("index").append(index);
  }
  byId("schemas").append(element("h3", {}, "Schemas"),
    ...Object.entries(openapi.components.schemas).map(([name, schema]) => drawSchema(name, schema)));
}

/** Opens the operation that the address names. */
function openNamed() {
  const named = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (!named) return;
  if (named.tagName === "DETAILS") named.open = true;
  named.scrollIntoView();
}

function filter() {
  const wanted = byId("filter").value.trim().toLowerCase();
  for (const one of document.querySelectorAll("[data-text]")) {
    one.hidden = !one.dataset.text.includes(wanted);
  }
  for (const group of document.querySelectorAll("#operations > section, #index > .group")) {
    group.hidden = !group.querySelector("[data-text]:not([hidden])");
  }
}

async function main() {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error("HTTP status " + answer.status);
    draw(await answer.json());
    byId("state").hidden = true;
    openNamed();
  } catch (error) {
    byId("state").textContent = "The document could not be loaded: " + error.message;
  }
}

byId("filter").addEventListener("input", filter);
window.addEventListener("hashchange", openNamed);
main();
