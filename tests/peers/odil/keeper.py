"""Keep performed procedure steps with odil. Arguments: port, and a keyword that a new step must have besides.

Prints a line of JSON for each request: operation, uid, status, and the dataset as PS3.18 F writes it.
"""

import json
import sys

import odil

port, demanded = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
states = {}


def told(operation, uid, status, dataset):
    said = {"operation": operation, "uid": uid, "status": status, "dataset": json.loads(odil.as_json(dataset))}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    return status


def state_in(dataset):
    tag = odil.registry.PerformedProcedureStepStatus
    return dataset.as_string(tag)[0] if dataset.has(tag) else b"IN PROGRESS"


def create(request):
    uid, dataset = request.get_affected_sop_instance_uid(), request.get_data_set()
    if uid in states:
        status = 0x0111
    elif demanded and not dataset.has(getattr(odil.registry, demanded)):
        status = 0x0120
    else:
        status, states[uid] = 0, state_in(dataset)
    return told("N-CREATE", uid, status, dataset)


def change(request):
    uid, dataset = request.get_requested_sop_instance_uid(), request.get_data_set()
    if uid not in states:
        status = 0x0112
    elif states[uid] != b"IN PROGRESS":
        status = 0x0110
    else:
        status, states[uid] = 0, state_in(dataset)
    return told("N-SET", uid, status, dataset)


def serve():
    association = odil.Association()
    association.receive_association("v4", port)  # listens for one
    creates, sets = odil.NCreateSCP(association), odil.NSetSCP(association)
    creates.set_callback(create)
    sets.set_callback(change)
    dispatcher = odil.SCPDispatcher(association)
    dispatcher.set_ncreate_scp(creates)
    dispatcher.set_nset_scp(sets)
    while True:
        dispatcher.dispatch()


while True:
    try:
        serve()
    except odil.Exception as error:  # a release too
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
