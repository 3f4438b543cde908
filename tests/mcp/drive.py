"""Drives the server with the Python SDK: drive.py REVISION CALLS WORKER|apart COMMAND...

Ends with 0 and one line of JSON when all was as it should be.
"""

import inspect
import json
import os
import sys
from contextlib import AsyncExitStack

import anyio
import mcp
from mcp import StdioServerParameters
from mcp.client.session import ClientSession
from mcp.client.stdio import stdio_client

revision, calls, worker, command, *rest = sys.argv[1:]
known = {"worker": worker}
second = hasattr(mcp, "Client")


def demand(holds, *words):
    if not holds:
        raise AssertionError(" ".join(str(word) for word in words))


def filled(value):
    if isinstance(value, str) and value.startswith("$"):
        return known.get(value[1:], value)
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    if isinstance(value, dict):
        return {name: filled(inner) for name, inner in value.items()}
    return value


def plain(model):
    return model.model_dump(mode="json", by_alias=True)


async def cancel(session):
    """The first SDKs cannot cancel by themselves: the notification is sent by hand, for the request that was sent last."""
    from mcp import types

    params = types.CancelledNotificationParams(requestId=session._request_id - 1, reason="no longer needed")
    note = types.CancelledNotification(method="notifications/cancelled", params=params)
    await session.send_notification(types.ClientNotification(note))


async def connected(stack, server):
    if second:
        client = await stack.enter_async_context(mcp.Client(server, mode=revision))
        demand(client.protocol_version == revision, "the revision is", client.protocol_version)
        return client
    read, write = await stack.enter_async_context(stdio_client(server))
    session = await stack.enter_async_context(ClientSession(read, write))
    opened = await session.initialize()
    demand(opened.protocolVersion == revision, "the revision is", opened.protocolVersion)
    await session.send_ping()
    return session


async def drive():
    server = StdioServerParameters(command=command, args=rest, env=dict(os.environ))
    async with AsyncExitStack() as stack:
        client = await connected(stack, server)
        names = [tool.name for tool in (await client.list_tools()).tools]
        if worker == "apart":
            # Where no agent is, there are no tools, and a prompt says so.
            prompt = (await client.list_prompts()).prompts[0]
            messages = (await client.get_prompt(prompt.name)).messages
            demand(not names and messages, "it is not apart:", names, prompt)
            print(json.dumps({"revision": revision, "progress": 0}))
            return
        counts = {"valid": 0, "wrong": 0, "progress": 0}
        tells = "progress_callback" in inspect.signature(client.call_tool).parameters

        async def heard(*_):
            counts["progress"] += 1

        async def long():
            more = {"progress_callback": heard} if tells else {}
            task = {"agent_profile": "developer", "message": "SLEEP 11\nSAY at last"}
            result = plain(await client.call_tool("handoff", task, **more))
            last = json.loads(result["content"][0]["text"])
            demand(last["output"] == "at last", "the long call:", last)

        async def never():
            task = {"agent_profile": "developer", "message": "SLEEP 60\nSAY too late"}
            result = await client.call_tool("handoff", task)
            demand(False, "a cancelled call was answered:", plain(result))

        async with anyio.create_task_group() as group:
            # One call takes long enough to be told of, one is cancelled, and meanwhile all the others are made.
            stop = anyio.CancelScope()

            async def stopped():
                with stop:
                    await never()

            group.start_soon(long)
            group.start_soon(stopped)
            await anyio.sleep(0.3)
            if not second:
                await cancel(client)
            await all_calls(client, names, counts)
            stop.cancel()
            refused = False
            try:
                refused = plain(await client.call_tool("no_such_tool", {}))["isError"]
            except Exception:
                refused = True
            demand(refused, "a tool that is not there can be called")
        demand(counts["progress"] > 0 or not tells, "no progress")
        print(json.dumps({"revision": revision, "tools": len(names), **counts, "cancelled": True}))


async def all_calls(client, names, counts):
    used = {"handoff"}
    with open(calls, encoding="utf-8") as file:
        steps = json.load(file)
    for step in steps:
        arguments = filled(step["arguments"])
        result = plain(await client.call_tool(step["tool"], arguments))
        used.add(step["tool"])
        said = "\n".join(part["text"] for part in result["content"])
        if "fails" in step:
            demand(result["isError"] and step["fails"] in said, step["tool"], arguments, "should fail:", result)
            counts["wrong"] += 1
            continue
        demand(not result.get("isError"), step["tool"], arguments, "failed:", said)
        value = json.loads(said)
        if revision >= "2025-06-18":
            demand(result["structuredContent"] == value, "two results:", result)
        for name in step.get("has", []):
            demand(name in value, step["tool"], "has no", name, value)
        for name, expected in filled(step.get("is", {})).items():
            demand(value[name] == expected, step["tool"], name, "is", value[name])
        for name, key in step.get("save", {}).items():
            known[key] = value[name]
        counts["valid"] += 1
    missed = [name for name in names if name not in used]
    demand(not missed, "never called:", missed)


anyio.run(drive)
