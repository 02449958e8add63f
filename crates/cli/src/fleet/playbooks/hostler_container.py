"""Reaches a container as Hostler does: the call that runs a program in it comes in the variable hostler_container_call."""

import subprocess

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from shlex import quote

DOCUMENTATION = """
name: hostler_container
short_description: a container that Hostler reaches
description: Runs what has to be run by the client of the container's engine.
options:
  call:
    description: The words of the call that the program and its arguments follow.
    type: list
    elements: str
    required: true
    vars:
      - name: hostler_container_call
"""

# What the client says where the engine cannot run anything in the container.
LOST = b"Error response from daemon"


class Connection(ConnectionBase):
    transport = "hostler_container"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def close(self):
        self._connected = False

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        source = {"input": in_data} if in_data else {"stdin": subprocess.DEVNULL}
        return self._run(cmd, stdout=subprocess.PIPE, **source)

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        with open(in_path, "rb") as source:
            self._copied(out_path, self._run("cat >" + quote(out_path), stdin=source, stdout=subprocess.DEVNULL))

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        with open(out_path, "wb") as target:
            self._copied(in_path, self._run("cat <" + quote(in_path), stdin=subprocess.DEVNULL, stdout=target))

    def _run(self, line, **pipes):
        call = [to_bytes(word) for word in [*self.get_option("call"), "sh", "-c", line]]
        Display().vvv(f"RUN {line}", host=self.get_option("call")[-1])
        done = subprocess.run(call, stderr=subprocess.PIPE, **pipes)
        if done.returncode != 0 and done.stderr.startswith(LOST):
            raise AnsibleConnectionFailure(to_text(done.stderr.strip()))
        return done.returncode, done.stdout or b"", done.stderr

    @staticmethod
    def _copied(path, ended):
        code, _, said = ended
        if code != 0:
            raise AnsibleConnectionFailure(f"cannot copy {path}: {to_text(said.strip())}")
