// Keeps performed procedure steps with dcmjs-dimse. Arguments: port, and a keyword that a new step must have besides.
// Prints a line of JSON for each request: operation, uid, status, and the dataset as PS3.18 F writes it.
const { data } = require('dcmjs');
const { Scp, Server, constants, responses } = require('dcmjs-dimse');

const { PresentationContextResult: Result, Status, TransferSyntax } = constants;
const STEP = '1.2.840.10008.3.1.2.3.3';
const READ = [TransferSyntax.ImplicitVRLittleEndian, TransferSyntax.ExplicitVRLittleEndian];
const [port, demanded] = process.argv.slice(2);
const states = new Map();

function created(uid, dataset) {
  if (states.has(uid)) return Status.DuplicateSOPInstance;
  if (demanded && dataset.getElement(demanded) === undefined) return Status.MissingAttribute;
  states.set(uid, dataset.getElement('PerformedProcedureStepStatus'));
  return Status.Success;
}

function changed(uid, dataset) {
  if (!states.has(uid)) return Status.NoSuchObjectInstance;
  if (states.get(uid) !== 'IN PROGRESS') return Status.ProcessingFailure;
  states.set(uid, dataset.getElement('PerformedProcedureStepStatus') ?? 'IN PROGRESS');
  return Status.Success;
}

function answered(operation, uid, status, request, response) {
  const dataset = data.DicomMetaDictionary.denaturalizeDataset(request.getDataset().getElements());
  console.log(JSON.stringify({ operation, uid, status, dataset }));
  response.setStatus(status);
  return response;
}

class Keeper extends Scp {
  associationRequested(association) {
    association.getPresentationContexts().forEach(({ context }) => {
      const syntax = READ.find((uid) => context.getTransferSyntaxUids().includes(uid));
      if (context.getAbstractSyntaxUid() === STEP && syntax) context.setResult(Result.Accept, syntax);
      else context.setResult(Result.RejectAbstractSyntaxNotSupported);
    });
    this.sendAssociationAccept();
  }

  nCreateRequest(request, respond) {
    const uid = request.getAffectedSopInstanceUid();
    const status = created(uid, request.getDataset());
    respond(answered('N-CREATE', uid, status, request, responses.NCreateResponse.fromRequest(request)));
  }

  nSetRequest(request, respond) {
    const uid = request.getRequestedSopInstanceUid();
    const status = changed(uid, request.getDataset());
    respond(answered('N-SET', uid, status, request, responses.NSetResponse.fromRequest(request)));
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

const server = new Server(Keeper);
server.on('networkError', (error) => console.error(error.message));
server.listen(Number(port));
