"""Answers with what Ansible itself makes of an inventory.

Reads one question as JSON from each line of standard input and writes one answer per line. Ansible is imported once;
each question is answered by a child of its own, so that nothing it remembers reaches the next.
"""

import json
import os
import sys
import tempfile
import traceback

from ansible.cli.inventory import InventoryCLI
from ansible.inventory import group as group_module
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader


class OrderedSet:
    """A set that keeps the order of insertion. Ansible walks over sets of groups, whose order changes from run to run."""

    def __init__(self, items=()):
        self.items = dict.fromkeys(items)

    def __iter__(self):
        return iter(list(self.items))

    def __contains__(self, item):
        return item in self.items

    def __len__(self):
        return len(self.items)

    def add(self, item):
        self.items[item] = None

    def update(self, items):
        self.items.update(dict.fromkeys(items))

    def remove(self, item):
        del self.items[item]

    def difference_update(self, items):
        for item in items:
            self.items.pop(item, None)

    def copy(self):
        return OrderedSet(self.items)


group_module.set = OrderedSet


def listing(question):
    """What `ansible-inventory --list` prints, by the program's own code."""
    args = ["ansible-inventory", "--list"]
    for source in question["sources"]:
        args += ["-i", source]
    if question.get("playbook_dir"):
        args += ["--playbook-dir", question["playbook_dir"]]
    for vault in question.get("vaults", []):
        args += ["--vault-id", vault]
    if question.get("export"):
        args.append("--export")
    with tempfile.TemporaryFile("w+") as output:
        os.dup2(output.fileno(), 1)
        sys.stdout = open(1, "w", closefd=False)
        try:
            InventoryCLI(args).run()
        except SystemExit as end:
            if end.code:
                raise RuntimeError("it ended with %s" % end.code)
        sys.stdout.flush()
        output.seek(0)
        return json.load(output)


def selection(question):
    """The hosts that each pattern selects; None where Ansible refuses it."""
    inventory = InventoryManager(loader=DataLoader(), sources=question["sources"])
    explicit = inventory._inventory.localhost
    answers = []
    for pattern in question["patterns"]:
        inventory.clear_caches()
        inventory._inventory.localhost = explicit
        try:
            answers.append([host.name for host in inventory.get_hosts(pattern)])
        except Exception:
            answers.append(None)
    return answers


def rendered(question):
    """The value of each template on each host."""
    from ansible.template import Templar
    from ansible.vars.hostvars import HostVars
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=question["sources"])
    manager = VariableManager(loader=loader, inventory=inventory)
    HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    answers = []
    for host, template in question["templates"]:
        variables = manager.get_vars(host=inventory.get_host(host))
        try:
            answers.append(Templar(loader=loader, variables=variables).template(template))
        except Exception:
            answers.append(None)
    return answers


def literals(question):
    """The values of an INI file."""
    from ansible.plugins.inventory.ini import InventoryModule

    answers = []
    for text in question["texts"]:
        try:
            value = InventoryModule._parse_value(text)
            answers.append(json.loads(json.dumps({"value": value}, allow_nan=False)))
        except Exception:
            answers.append(None)
    return answers


def documents(question):
    """YAML documents as Ansible's loader reads them."""
    from ansible.parsing.ajson import AnsibleJSONEncoder

    answers = []
    for text in question["texts"]:
        try:
            data = DataLoader().load(text)
            dumped = json.dumps({"value": data}, cls=AnsibleJSONEncoder, preprocess_unsafe=True, allow_nan=False)
            answers.append(json.loads(dumped))
        except Exception:
            answers.append(None)
    return answers


KINDS = {
    "list": listing,
    "select": selection,
    "render": rendered,
    "literals": literals,
    "documents": documents,
}


def answer(line):
    question = json.loads(line)
    os.chdir(question["directory"])
    try:
        return {"answer": KINDS[question["kind"]](question)}
    except BaseException:
        return {"failed": traceback.format_exc()}


def main():
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer(line), pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answers.write(pipe.read().strip() + "\n")
        os.waitpid(child, 0)
        answers.flush()


main()
