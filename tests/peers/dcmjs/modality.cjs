// Tells of performed procedure steps with dcmjs-dimse, in one association. Arguments: host, port, called AE title.
// Reads JSON: {"user": [name, passcode] or null, "requests": [{"operation", "uid", "dataset" as PS3.18 F writes it}]}.
// Prints JSON: {"answers": [{"status", "uid", "comment"}], "ended": how the association ended}.
const { data } = require('dcmjs');
const { Client, Dataset, constants, requests } = require('dcmjs-dimse');

const STEP = '1.2.840.10008.3.1.2.3.3';
const KINDS = { 'N-CREATE': requests.NCreateRequest, 'N-SET': requests.NSetRequest };
const [host, port, called] = process.argv.slice(2);
const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const told = { answers: [], ended: 'closed' };

const client = new Client();
for (const { operation, uid, dataset } of asked.requests) {
  const request = new KINDS[operation](STEP, uid);
  request.setDataset(new Dataset(data.DicomMetaDictionary.naturalizeDataset(dataset)));
  request.on('response', (response) => {
    told.answers.push({
      status: response.getStatus(),
      uid: response.getAffectedSopInstanceUid(),
      comment: response.getErrorComment() ?? '',
    });
  });
  client.addRequest(request);
}
client.on('associationRejected', ({ result, source, reason }) => { told.ended = `rejected ${result}/${source}/${reason}`; });
client.on('associationReleased', () => { told.ended = 'released'; });
client.on('networkError', (error) => { told.ended = error.message; });
client.on('closed', () => console.log(JSON.stringify(told)));

const [primaryField, secondaryField] = asked.user ?? [];
const type = constants.UserIdentityType.UsernameAndPasscode;
const userIdentity = asked.user ? { type, positiveResponseRequested: true, primaryField, secondaryField } : undefined;
client.send(host, Number(port), 'DCMJS', called, { userIdentity });
