// Agent Conductor: plugin for OpenCode (1.18). The launcher writes one line in front of this text:
//   const CONDUCTOR = {"hook": "/abs/conductor-hook", "env": {...}, "bell": "/abs/run/ID/bell", "gate": true, "tui": true,
//                      "unset": ["npm_config_offline"]};
// or, among a person's own plugins, where no terminal is known: {"hook": …, "env": {…}, "home": "/abs/state", "gate": true, "setup": true}.
// Every event is a direct child process `HOOK hook opencode EVENT` with JSON on its standard input.
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, watch } from "node:fs"
import { basename, dirname, join } from "node:path"

const STATUS_MS = 10_000 // longest run of a hook that only tells
const SUBMIT_MS = 10_000 // longest wait for a submitted prompt to be taken
const WHERE_MS = 1000 // longest wait for the screen to say which session it shows
const ANSWER_CHARS = 200_000

const home = process.env.CONDUCTOR_HOME ?? CONDUCTOR.home
// An adopted agent is rung for by its process id.
const bell = CONDUCTOR.bell ?? join(home, "run/bells", String(process.pid))
const variables = CONDUCTOR.setup ? { ...CONDUCTOR.env, CONDUCTOR_HOME: home } : CONDUCTOR.env

const sleep = (ms) => new Promise((done) => setTimeout(done, ms).unref?.())
const text = (error) => String(error?.data?.message ?? error?.message ?? error?.name ?? error).slice(0, 2000)

// Runs one hook. Resolves, never rejects, to {code, out}; code is null when it did not exit by itself.
function run(event, input, { limit = 0, onChild } = {}) {
  return new Promise((done) => {
    const body = JSON.stringify(input)
    let child
    let timer
    let out = ""
    const end = (code) => {
      clearTimeout(timer)
      done({ code, out })
    }
    try {
      child = spawn(CONDUCTOR.hook, ["hook", "opencode", event], {
        env: { ...process.env, ...variables },
        stdio: ["pipe", "pipe", "ignore"],
      })
    } catch {
      return end(null)
    }
    child.on("error", () => end(null))
    child.stdin.on("error", () => {})
    child.stdout.on("error", () => {})
    child.stdout.setEncoding("utf8")
    child.stdout.on("data", (chunk) => (out += chunk))
    child.on("close", (code) => end(code))
    onChild?.(child)
    child.stdin.end(body)
    if (limit) {
      timer = setTimeout(() => {
        child.kill("SIGKILL")
        child.stdout.destroy()
        end(null)
      }, limit)
    }
  })
}

const parsed = ({ code, out }) => {
  if (code !== 0 || !out.trim()) return
  try {
    return JSON.parse(out)
  } catch {}
}

// The session of `-s ID`: the screen shows it before any event names it.
function resumed() {
  try {
    const argv = readFileSync("/proc/self/cmdline", "utf8").split("\0")
    for (const [at, word] of argv.entries()) {
      if (word === "-s" || word === "--session") return argv[at + 1]
      if (word.startsWith("--session=")) return word.slice(10)
    }
  } catch {}
}

export const Conductor = async ({ client, directory }) => {
  // An agent that we started has a plugin of its own.
  if (CONDUCTOR.setup && process.env.CONDUCTOR_TERMINAL_ID) return {}
  const parents = new Map() // session id -> parent id, or null for a root session
  const busy = new Set() // sessions in a turn
  const turns = new Set() // sessions whose turn has not been told to be over: after an abort "idle" comes twice
  const users = new Map() // session id -> agent and model of its last prompt
  const outcomes = new Map() // session id -> how its turn ended, when not well
  // Call ids come from the model: only with the session are they a key.
  const key = (session, call) => `${session}/${call}`
  const calls = new Map() // key -> session, of calls that the gate let run
  const seen = new Map() // key -> {tool, args}, of calls under way
  const gates = new Map() // key -> {session, child, over}
  const finished = new Set() // keys of calls that ran to their end
  const dialogs = new Map() // id of an open permission dialog -> child of its hook
  const submitted = new Map() // text -> {id, taken}
  let shown = resumed() ?? null // the root session on the screen, as far as known
  let queue = Promise.resolve()
  let closing = false

  const subagent = async (session) => {
    if (!session) return false
    if (!parents.has(session)) {
      try {
        const { data } = await client.session.get({ path: { id: session } })
        if (data) parents.set(session, data.parentID ?? null)
      } catch {}
    }
    return Boolean(parents.get(session))
  }
  const root = async (session) => {
    while (session && (await subagent(session))) session = parents.get(session)
    return session
  }
  const mark = async (input) => ((await subagent(input.session_id)) ? { ...input, subagent: true } : input)

  // Status events: one after the other, each with its own limit.
  const tell = (event, input) => {
    const next = queue.then(async () =>
      run(event, await mark(typeof input === "function" ? await input() : input), { limit: STATUS_MS }),
    )
    const safe = next.catch(() => ({ code: null, out: "" }))
    queue = safe
    return safe
  }

  const answer = async (session) => {
    try {
      const { data } = await client.session.messages({ path: { id: session }, query: { limit: 20 } })
      const last = data?.findLast((message) => message.info.role === "assistant")
      const words = (last?.parts ?? []).filter((part) => part.type === "text" && !part.synthetic && !part.ignored)
      return words
        .map((part) => part.text)
        .join("\n")
        .slice(0, ANSWER_CHARS)
    } catch {
      return ""
    }
  }

  const free = (gate) => {
    if (!gate) return
    gate.over = true
    gate.child?.kill("SIGTERM")
  }

  // Waiting gates of a session whose turn is over have nobody left to answer.
  const withdraw = (session) => {
    for (const gate of gates.values()) if (gate.session === session) free(gate)
    for (const [call, owner] of calls) if (owner === session) calls.delete(call)
    for (const call of seen.keys()) if (call.startsWith(`${session}/`)) seen.delete(call)
  }

  // ---- delivery
  let rung = false
  let delivering = false
  const ring = () => {
    rung = true
    if (delivering || closing) return
    delivering = true
    deliver()
      .catch(() => {})
      .finally(() => {
        delivering = false
      })
  }
  // Asks the plugin of the screen, if there is one, which session is on it: /new and a switch send no event.
  let answered
  const look = async () => {
    if (!CONDUCTOR.tui) return
    const at = await Promise.race([
      new Promise((done) => {
        answered = done
        publish({ type: "tui.command.execute", properties: { command: "conductor.where" } }).catch(() => {})
      }),
      sleep(WHERE_MS),
    ])
    if (at !== undefined) shown = (await root(at)) || null
  }
  const publish = (body) => client.tui.publish({ body, throwOnError: true })
  const idle = async () => {
    await look()
    if (!shown) return true
    if (busy.has(shown)) return false
    const { data } = await client.session.status()
    const status = data?.[shown]?.type ?? "idle"
    return status === "idle" && !busy.has(shown)
  }
  const deliver = async () => {
    while (rung && !closing) {
      await queue
      if (!(await idle())) return
      rung = false
      const reply = parsed(await run("inbox", { session_id: shown, cwd: directory }, { limit: STATUS_MS }))
      const messages = Array.isArray(reply?.messages) ? reply.messages : []
      for (const [at, message] of messages.entries()) {
        try {
          await submit(message)
        } catch (error) {
          const ids = messages.slice(at).map((one) => one.id)
          // It may have been taken, and be shown later.
          await tell("inbox.failed", { session_id: shown, ids, error: text(error), taken: error.taken === true })
          break
        }
      }
    }
  }
  const submit = async ({ id, text }) => {
    if (!shown) {
      const made = await client.session.create({ body: {}, throwOnError: true })
      shown = made.data.id
      parents.set(shown, null)
      await publish({ type: "tui.session.select", properties: { sessionID: shown } })
    }
    const session = shown
    const user = users.get(session) ?? (await lastUser(session))
    let taken
    const proof = new Promise((done) => (taken = done))
    submitted.set(text, { id, taken })
    try {
      await client.session.promptAsync({
        path: { id: session },
        body: { ...user, parts: [{ type: "text", text }] },
        throwOnError: true,
      })
      const done = await Promise.race([proof.then(() => true), sleep(SUBMIT_MS)])
      if (!done) throw Object.assign(new Error("the prompt was not shown"), { taken: true })
    } finally {
      submitted.delete(text)
    }
  }
  const lastUser = async (session) => {
    const fallback = CONDUCTOR.agent ? { agent: CONDUCTOR.agent } : {}
    try {
      const { data } = await client.session.messages({ path: { id: session }, query: { limit: 50 } })
      const last = data?.findLast((message) => message.info.role === "user")?.info
      return last ? { agent: last.agent, model: { providerID: last.model.providerID, modelID: last.model.modelID } } : fallback
    } catch {
      return fallback
    }
  }

  // ---- dialogs
  // The public client has only the older call, which carries no message.
  const reply = (request, body) =>
    client._client.post({
      url: "/permission/{requestID}/reply",
      path: { requestID: request },
      body,
      headers: { "Content-Type": "application/json" },
    })
  const asked = async (request) => {
    const call = request.tool?.callID
    // The gate has said yes to this very call: its own question has been answered.
    if (call && calls.has(key(request.sessionID, call))) return void (await reply(request.id, { reply: "once" }))
    dialogs.set(request.id, null)
    await queue
    const input = await mark({
      id: request.id,
      permission: request.permission,
      patterns: request.patterns,
      metadata: request.metadata,
      ...seen.get(key(request.sessionID, call)),
      call_id: call,
      session_id: request.sessionID,
      cwd: directory,
    })
    if (!dialogs.has(request.id)) return
    const result = parsed(await run("permission", input, { onChild: (child) => dialogs.set(request.id, child) }))
    if (!dialogs.has(request.id) || (result?.reply !== "once" && result?.reply !== "reject")) return
    dialogs.delete(request.id)
    await reply(request.id, { reply: result.reply, message: result.message || undefined })
  }

  const events = {
    "session.created": ({ info }) => {
      parents.set(info.id, info.parentID ?? null)
      if (!info.parentID) shown = info.id
    },
    "session.updated": ({ info }) => void parents.set(info.id, info.parentID ?? null),
    "session.deleted": ({ info }) => {
      withdraw(info.id)
      for (const map of [parents, users, outcomes]) map.delete(info.id)
      busy.delete(info.id)
      turns.delete(info.id)
      if (shown === info.id) shown = null
    },
    "tui.command.execute": ({ command }) => {
      if (command.startsWith("conductor.at:")) answered?.(command.slice(13))
    },
    "tui.session.select": ({ sessionID }) => void (shown = sessionID),
    "session.status": ({ sessionID, status }) => {
      if (status.type === "idle") busy.delete(sessionID)
      else busy.add(sessionID) && turns.add(sessionID)
      if (status.type === "retry")
        tell("retry", { session_id: sessionID, attempt: status.attempt, message: status.message, next: status.next })
    },
    "session.idle": async ({ sessionID }) => {
      busy.delete(sessionID)
      withdraw(sessionID)
      if (!turns.delete(sessionID)) return ring()
      const outcome = outcomes.get(sessionID) ?? "done"
      outcomes.delete(sessionID)
      if (await subagent(sessionID)) return
      await tell("idle", async () => ({ session_id: sessionID, outcome, answer: await answer(sessionID) }))
      ring()
    },
    "session.error": ({ sessionID, error }) => {
      const interrupted = error?.name === "MessageAbortedError"
      if (sessionID) {
        outcomes.set(sessionID, interrupted ? "interrupted" : "error")
        withdraw(sessionID)
      }
      if (interrupted) tell("interrupted", { session_id: sessionID })
      else tell("error", { session_id: sessionID ?? null, name: error?.name ?? "", message: text(error), status: error?.data?.statusCode })
    },
    "permission.asked": asked,
    "permission.replied": ({ requestID, sessionID, reply }) => {
      const child = dialogs.get(requestID)
      const ours = dialogs.delete(requestID)
      // After a yes the end of the call says what was decided.
      if (reply === "reject") child?.kill("SIGTERM")
      if (ours) tell("permission.replied", { id: requestID, session_id: sessionID, reply })
    },
    "question.asked": ({ id, sessionID, questions }) => void tell("question", { id, session_id: sessionID, questions }),
    "question.replied": ({ requestID, sessionID }) => void tell("question.replied", { id: requestID, session_id: sessionID }),
    "question.rejected": ({ requestID, sessionID }) => void tell("question.replied", { id: requestID, session_id: sessionID }),
    // A call that ended otherwise than by its gate (the turn was interrupted) frees the gate.
    "message.part.updated": ({ part }) => {
      if (part.type !== "tool" || (part.state.status !== "error" && part.state.status !== "completed")) return
      const id = key(part.sessionID, part.callID)
      calls.delete(id)
      seen.delete(id)
      free(gates.get(id))
      if (!finished.delete(id) && part.state.status === "error")
        tell("tool.after", { tool: part.tool, args: part.state.input, call_id: part.callID, session_id: part.sessionID, output_status: "error", message: text(part.state.error) })
    },
  }

  const gate = async ({ tool, sessionID, callID }, args) => {
    const entry = { session: sessionID, child: null, over: false }
    const id = key(sessionID, callID)
    // An id that was used before: what was answered then is none for this call.
    calls.delete(id)
    seen.set(id, { tool, args })
    gates.set(id, entry)
    try {
      // The person's own session, and we are not installed any more.
      if (CONDUCTOR.setup && !existsSync(CONDUCTOR.hook)) return
      await queue
      const input = await mark({ tool, args, call_id: callID, session_id: sessionID, cwd: directory })
      if (entry.over) throw new Error("the turn is over")
      const answer = await run("tool.before", input, { onChild: (child) => (entry.child = child) })
      // Not one of ours: the hook has nothing to say.
      if (CONDUCTOR.setup && answer.code === 0 && !answer.out) return
      const result = parsed(answer)
      if (entry.over) throw new Error("the turn is over")
      if (result?.decision === "allow") return void calls.set(id, sessionID)
      if (result?.decision === "deny") throw new Error(result.reason || "denied")
      throw new Error("Agent Conductor could not decide about this call, so it was not run.")
    } finally {
      gates.delete(id)
    }
  }

  let watcher
  const dispose = async () => {
    if (closing) return
    closing = true
    watcher?.close()
    for (const gate of gates.values()) free(gate)
    for (const child of dialogs.values()) child?.kill("SIGTERM")
    await Promise.race([tell("ended", { session_id: shown, reason: "dispose" }), sleep(2000)])
  }

  tell("started", { session_id: shown, cwd: directory, pid: process.pid }).then(ring)
  try {
    if (CONDUCTOR.setup && existsSync(home)) mkdirSync(dirname(bell), { recursive: true, mode: 0o700 })
    const name = basename(bell)
    watcher = watch(dirname(bell), { persistent: false }, (_, file) => {
      if (file === null || file === name) ring()
    })
    watcher.on("error", () => {})
  } catch {}

  const hooks = {
    dispose,
    event: async ({ event }) => {
      try {
        await events[event.type]?.(event.properties)
      } catch {}
    },
    "chat.message": async ({ sessionID, agent, model }, { message, parts }) => {
      try {
        const words = parts.filter((part) => part.type === "text" && !part.synthetic)
        const prompt = words.map((part) => part.text).join("\n")
        const own = submitted.get(prompt)
        own?.taken()
        const child = await subagent(sessionID)
        if (!child) {
          shown = sessionID
          busy.add(sessionID)
          turns.add(sessionID)
          users.set(sessionID, { agent: agent ?? message.agent, model: model ?? message.model })
        }
        const reply = parsed(
          await tell("prompt", {
            session_id: sessionID,
            text: prompt,
            message_id: message.id,
            ...(own ? { inbox_id: own.id } : {}),
          }),
        )
        if (typeof reply?.context === "string" && reply.context) {
          const last = parts.map((part) => part.id).sort().at(-1) ?? "prt_"
          parts.push({ id: `${last}0`, sessionID, messageID: message.id, type: "text", text: reply.context, synthetic: true })
        }
      } catch {}
    },
    // Variables that only the start of OpenCode needed: its commands shall not obey them. npm takes an empty one as not set.
    "shell.env": async (_, output) => {
      for (const name of CONDUCTOR.unset ?? []) output.env[name] = ""
    },
    "tool.execute.after": async ({ tool, sessionID, callID, args }) => {
      finished.add(key(sessionID, callID))
      calls.delete(key(sessionID, callID))
      seen.delete(key(sessionID, callID))
      tell("tool.after", { tool, args, call_id: callID, session_id: sessionID, output_status: "completed" })
    },
  }
  if (CONDUCTOR.gate) hooks["tool.execute.before"] = (input, output) => gate(input, output.args)
  return hooks
}
