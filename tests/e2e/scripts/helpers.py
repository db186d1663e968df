"""Every helper of a trace, with all that it takes, at the module and on the object."""

import tracehouse as cm

run = cm.init(session_id="helpers")
print(cm.current() is run)
said = cm.log_user("u")
print(type(said) is cm.Span, said.kind, said.name, said.attributes, said.status, said.session_id)
cm.log_user("with more", attributes={"extra": 1}, status="ok", parent_span_id=said.id)
cm.log_user("")
cm.log_user("zwölf ☃ \U0001f600\x00\x1b[1m\nline two")
cm.log_assistant("a", attributes={"tokens": {"in": 1, "out": [2, 3]}})
cm.log_thinking("t", status="error")
call = cm.log_tool_use("Read", {"file_path": "x.py", "n": None})
cm.log_tool_use("Bare")
cm.log_tool_result("r", parent_span_id=call.id)
cm.log_tool_result("r", tool="Bash", status="error")
cm.log_attachment("a")
cm.log_attachment("b", {"url": "u"}, text="caption")
cm.log(kind="thinking", name="any name", text="T", attributes={"a": 1})
cm.log(kind="tool_use", name="n", text="dropped", attributes={"text": "kept"})
cm.log(kind="tool_result", name="n", text="dropped", attributes={"result_text": "kept"})
cm.log(kind="tool_result", name="n", text="a text")
cm.log(kind="user_msg", name="bare")
cm.log(kind="assistant_msg", name="long", text="x" * 100_000)

mine = cm.Span("11111111-2222-4333-8444-555555555555", "helpers", "user_msg", "mine", "2001-02-03T04:05:06.000007Z")
print(mine.to_payload())
run.push_spans([mine])
mine.attributes["text"] = "filled in later"
mine.end_at = "2001-02-03T04:05:07.000007Z"
run.push_spans([mine])
run.push_spans([])
cm.finish(outcome="neutral", task_name="tt")
print(cm.finish.__name__, "twice is fine")
cm.finish(outcome="bad")
