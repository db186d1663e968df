"""The published page's quickstart."""

import tracehouse as cm

cm.init(
    project="my-bot",
    session_id="run-001",
    task_name="demo task",
    model="claude-opus-4-7",
)
cm.log_user("hello")
cm.log_assistant("hi there")
cm.log_tool_use("Read", {"file_path": "x.py"})
cm.log_tool_result("file contents")
cm.finish(outcome="good", metadata={"k": "v"})
