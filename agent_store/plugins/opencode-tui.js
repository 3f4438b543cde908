// Agent Conductor: tells the other plugin, when asked, which session the screen shows. It does nothing by itself.
// Question and answer are "tui.command.execute" events: conductor.where, conductor.at:SESSION (or conductor.at: at the home screen).
export default {
  id: "agent-conductor",
  tui: async (api) => {
    const off = api.event.on("tui.command.execute", ({ properties }) => {
      if (properties.command !== "conductor.where") return
      const at = api.route.current
      const session = at.name === "session" ? String(at.params?.sessionID ?? "") : ""
      const send = { type: "tui.command.execute", properties: { command: `conductor.at:${session}` } }
      Promise.resolve(api.client.tui.publish({ body: send })).catch(() => {})
    })
    api.lifecycle.onDispose(off)
  },
}
