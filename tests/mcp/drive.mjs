// Drives the server with the TypeScript SDK: drive.mjs SDK_DIRECTORY REVISION CALLS WORKER|apart COMMAND...
// Ends with 0 and one line of JSON when all was as it should be.

import { existsSync, readFileSync } from "node:fs";

const [directory, revision, calls, worker, command, ...rest] = process.argv.slice(2);
const known = { worker };

async function load(...candidates) {
  const file = candidates.map((name) => `${directory}/node_modules/@modelcontextprotocol/${name}`).find(existsSync);
  if (!file) throw new Error(`the SDK has none of ${candidates}`);
  return import(file);
}

function demand(holds, ...words) {
  if (!holds) throw new Error(words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))).join(" "));
}

function filled(value) {
  if (typeof value === "string" && value.startsWith("$")) return known[value.slice(1)] ?? value;
  if (Array.isArray(value)) return value.map(filled);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, filled(inner)]));
  }
  return value;
}

const second = existsSync(`${directory}/node_modules/@modelcontextprotocol/client`);
const { Client } = await load("client/dist/index.mjs", "sdk/dist/esm/client/index.js", "sdk/dist/client/index.js");
const { StdioClientTransport } = await load(
  "client/dist/stdio.mjs",
  "sdk/dist/esm/client/stdio.js",
  "sdk/dist/client/stdio.js",
);
const options = second ? { versionNegotiation: { mode: { pin: revision } } } : {};
const client = new Client({ name: "typescript-sdk", version: "1" }, { capabilities: {}, ...options });
const transport = new StdioClientTransport({ command, args: rest, env: process.env });
const faults = [];
client.onerror = (error) => faults.push(String(error));
await client.connect(transport);
const spoken = second ? client.getNegotiatedProtocolVersion() : revision;
demand(spoken === revision, "the revision is", spoken);

function call(name, args, more = {}) {
  const settings = { timeout: 120000, ...more };
  const params = { name, arguments: args };
  return second ? client.callTool(params, settings) : client.callTool(params, undefined, settings);
}

const { tools } = await client.listTools();
const names = tools.map((tool) => tool.name);
if (!second) await client.ping();
if (worker === "apart") {
  // Where no agent is, there are no tools, and a prompt says so.
  const { prompts } = await client.listPrompts();
  const { messages } = await client.getPrompt({ name: prompts[0].name });
  demand(names.length === 0 && messages.length > 0, "it is not apart:", names, prompts);
  await client.close();
  console.log(JSON.stringify({ revision, progress: 0 }));
  process.exit(0);
}

// One call takes long enough to be told of, one is cancelled, and meanwhile all the others are made.
let told = 0;
const long = call("handoff", { agent_profile: "developer", message: "SLEEP 11\nSAY at last" }, { onprogress: () => (told += 1) });
const stop = new AbortController();
const cancelled = call(
  "handoff",
  { agent_profile: "developer", message: "SLEEP 60\nSAY too late" },
  { signal: stop.signal },
).then(
  () => "answered",
  () => "cancelled",
);

const used = new Set(["handoff"]);
let valid = 0;
let wrong = 0;
for (const step of JSON.parse(readFileSync(calls, "utf8"))) {
  const args = filled(step.arguments);
  const result = await call(step.tool, args);
  used.add(step.tool);
  const said = result.content.map((part) => part.text).join("\n");
  if (step.fails) {
    demand(result.isError === true && said.includes(step.fails), step.tool, args, "should fail:", result);
    wrong += 1;
    continue;
  }
  demand(!result.isError, step.tool, args, "failed:", said);
  const value = JSON.parse(said);
  if (revision >= "2025-06-18") {
    demand(JSON.stringify(result.structuredContent) === JSON.stringify(value), "two results:", result);
  }
  for (const name of step.has ?? []) demand(name in value, step.tool, "has no", name, value);
  for (const [name, expected] of Object.entries(filled(step.is ?? {}))) {
    demand(JSON.stringify(value[name]) === JSON.stringify(expected), step.tool, name, "is", value[name] ?? null);
  }
  for (const [name, as] of Object.entries(step.save ?? {})) known[as] = value[name];
  valid += 1;
}
const missed = names.filter((name) => !used.has(name));
demand(missed.length === 0, "never called:", missed);

stop.abort("no longer needed");
demand((await cancelled) === "cancelled", "a cancelled call was answered");
let refused = 0;
try {
  const result = await call("no_such_tool", {});
  refused = result.isError ? 1 : 0;
} catch {
  refused = 1;
}
demand(refused === 1, "a tool that is not there can be called");
const last = JSON.parse((await long).content[0].text);
demand(last.output === "at last", "the long call:", last);
demand(told > 0, "no progress");
demand(faults.length === 0, "the SDK complains:", faults);
await client.close();
console.log(JSON.stringify({ revision, tools: names.length, valid, wrong, progress: told, cancelled: true }));
process.exit(0);
