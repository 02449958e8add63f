"""Writes what became of each task, one JSON object a line, into the file that HOSTLER_TASKS names."""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: hostler_tasks
type: aggregate
short_description: what became of each task, for Hostler
description: Writes one JSON object a line.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "hostler_tasks"

    def _write(self, result, status):
        task = result._task
        line = {"name": task.get_name().strip(), "module": task.action, "status": status}
        if status in ("failed", "ignored", "unreachable"):
            line["message"] = str(result._result.get("msg", ""))
        with open(os.environ["HOSTLER_TASKS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def v2_runner_on_ok(self, result):
        self._write(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result):
        self._write(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        self._write(result, "unreachable")
