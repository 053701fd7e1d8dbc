// What operators watch and mend: read models, groups of subscriptions, jobs. Auditors see it too.
import { html } from '/console/vendor/htm-preact.js';
import { may } from '/console/api.js';
import { time, at, age, Status, Problem, useAnswer, Table, Act } from '/console/parts.js';
import { Ask } from '/console/forms.js';
import { Fold, StreamLink } from '/console/history.js';

function Model({ model, done }) {
  const path = `/v1/ops/readmodels/${at(model.name)}`;
  const job = (kind, body = {}) => ({ path: `${path}/${kind}`, body });
  const common = (label) => ({ label, name: `${label} ${model.name}`, done, said: `${label} ${model.name}: begun, see the jobs below.` });
  return html`<div class="actions"><${Act} ...${common('Verify')} request=${() => job('verify')} />
    <${Ask} ...${common('Rebuild')} title=${`Rebuild ${model.name}`} text="A new generation is built beside the old one, which serves meanwhile. It is compared before a switch."
      fields=${[{ name: 'then', label: 'Once it is ready', choices: ['wait for me to switch', 'switch if it compares equal'] }]} request=${({ then }) => job('rebuild', then.startsWith('switch') ? { switch: true } : {})} />
    ${model.readyToSwitch && html`<${Ask} ...${common('Switch')} title=${`Switch ${model.name}?`} text=${`Generation ${model.buildingGeneration ?? 'new'} will serve; generation ${model.generation} is kept for a rollback.`} request=${() => job('switch')} />`}
    ${model.previousGeneration > 0 && html`<${Ask} ...${common('Roll back')} title=${`Roll ${model.name} back?`} text=${`Generation ${model.previousGeneration} will serve again.`} request=${() => job('rollback')} />
      <${Ask} ...${common('Drop old')} danger title=${`Drop generation ${model.previousGeneration} of ${model.name}?`} text="There is no rollback to it afterwards." request=${() => job('drop')} />`}
    ${model.state === 'paused' ? html`<${Act} ...${common('Resume')} request=${() => job('resume')} />`
    : html`<${Ask} ...${common('Pause')} title=${`Pause ${model.name}?`} text="It takes no events until it is resumed; its screens say that they are behind." request=${() => job('pause')} />`}</div>`;
}

function Blocked({ model, done }) {
  const path = `/v1/ops/readmodels/${at(model)}`;
  const [list, error, reload] = useAnswer(`${path}/blocked?limit=200`, 5000);
  const after = () => { reload(); done(); };
  const skipping = 'This is for good, until a rebuild with a mended program, and on record with your name.';
  return html`<h3>Blocked in ${model}</h3><${Problem} error=${error} />
    ${may('operator') && html`<p class="actions"><${Act} label="Retry all" name=${`Retry all of ${model}`} done=${after} said="Tried again." request=${() => ({ path: `${path}/retry`, body: {} })} />
      <${Ask} danger label="Skip all" name=${`Skip all of ${model}`} title=${`Leave every blocking event out of ${model}?`} text=${skipping} done=${after} said="Skipped." request=${() => ({ path: `${path}/skip`, body: {} })} /></p>`}
    <${Table} label=${`Blocked in ${model}`} rows=${list?.items} error=${error} empty="Nothing is blocked any more." columns=${[
    ['Stream', (b) => html`<${StreamLink} stream=${b.stream} />`], ['#', (b) => b.revision, 'number'], ['Event', (b) => b.type], ['Reason', (b) => b.reason], ['Attempts', (b) => b.attempts, 'number'], ['Since', (b) => time(b.since)],
    ...(may('operator') ? [['', (b) => html`<div class="actions"><${Act} label="Retry" name=${`Retry ${b.stream}`} done=${after} said="Tried again." request=${() => ({ path: `${path}/retry`, body: { streams: [b.stream] } })} />
      <${Ask} danger label="Skip" name=${`Skip ${b.stream}`} title=${`Leave event ${b.revision} of ${b.stream} out of ${model}?`} text=${skipping} done=${after} said="Skipped." request=${() => ({ path: `${path}/skip`, body: { streams: [b.stream] } })} /></div>`]] : [])]} />`;
}

function Parked({ group }) {
  const [list, error] = useAnswer(`/v1/ops/subscriptions/${at(group)}/parked?limit=200`, 5000);
  return html`<h3>Parked in ${group}</h3><${Problem} error=${error} /><${Table} label=${`Parked in ${group}`} rows=${list?.items} error=${error} empty="Nothing is parked any more." columns=${[
    ['At', (e) => time(e.at)], ['Stream', (e) => html`<${StreamLink} stream=${e.stream} />`], ['#', (e) => e.revision, 'number'], ['Event', (e) => e.type], ['Reason', (e) => e.reason]]} />`;
}

const strategies = ['RoundRobin', 'DispatchToSingle', 'Pinned'];
const settingLabels = {
  consumerStrategy: 'Strategy', messageTimeoutMs: 'Message timeout (ms)', maxRetryCount: 'Retries before an event is parked', checkpointAfterMs: 'Checkpoint after (ms)', minCheckpointCount: 'Checkpoint after at least (events)', maxCheckpointCount: 'Checkpoint after at most (events)',
  maxSubscriberCount: 'Most consumers', liveBufferSize: 'Live buffer (events)', readBatchSize: 'Read batch (events)', historyBufferSize: 'History buffer (events)',
};

// changed are the settings that differ from what the group has: only they are sent.
const changed = (values, settings) => Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== settings[name]));

function Group({ group, done }) {
  const path = `/v1/ops/subscriptions/${at(group.group)}`;
  const { settings } = group;
  const known = Object.keys(settingLabels).filter((name) => settings?.[name] !== undefined);
  const fields = known.map((name) => ({ name, label: settingLabels[name], value: String(settings[name]), ...(name === 'consumerStrategy' ? { choices: [...new Set([settings[name], ...strategies])] } : { type: 'number', required: true }) }));
  const common = (label) => ({ label, name: `${label} ${group.group}`, done, said: `${label} ${group.group}: done.` });
  const moved = (_, { to }) => [`${group.group} goes on from ${/^\d+$/.test(to) ? `position ${to}` : `the ${to}`}; it is at ${group.position || 'the start'} now.`, 'Events come again, effects don’t: documents know what they have taken.'];
  return html`<div class="actions"><${Ask} ...${common('Settings')} title=${`Settings of ${group.group}`} fields=${fields} request=${(values) => ({ method: 'PATCH', path, body: { settings: changed(values, settings) } })}
      plan=${(would) => (would.changes.length === 0 ? ['Nothing: it is so already.'] : [...would.changes.map((c) => `${settingLabels[c.setting] || c.setting}: ${c.from} → ${c.to}`), ...would.warnings.map((w) => `Careful: ${w}`), `${would.consumers} ${would.consumers === 1 ? 'consumer reconnects' : 'consumers reconnect'}.`])} />
    ${group.parked > 0 && html`<${Ask} ...${common('Replay parked')} title=${`Replay what is parked in ${group.group}`} fields=${[{ name: 'limit', label: 'At most', type: 'number', hint: 'all unless given' }]} request=${(body) => ({ path: `${path}/replay-parked`, body })}
      plan=${(would, { limit }) => [`${Math.min(limit ?? group.parked, group.parked)} of ${group.parked} parked events are delivered again.`]} />`}
    <${Ask} ...${common('Reset')} danger title=${`Reset ${group.group}`} fields=${[{ name: 'to', label: 'To', required: true, value: 'start', hint: 'start, end or a position' }]}
      request=${({ to }) => ({ path: `${path}/reset`, body: { to: /^\d{1,15}$/.test(to) ? Number(to) : to } })} plan=${moved} /></div>`;
}

// outcome says in a few words what came of a job, and shows what differs.
function Outcome({ job }) {
  const r = job.result || {};
  if (job.error || r.error) return job.error || r.error;
  const compared = r.checked === undefined ? r.compared : r;
  const words = compared?.checked !== undefined ? `${compared.checked} checked, ${compared.differing} differing` : r.generation ? `generation ${r.generation}` : '';
  const differences = compared?.differences || r.differences || [];
  return html`${words}${differences.length > 0 && html`<${Fold} label="Differences"><ul class="differences">${differences.map((d) => html`<li><code>${d.document} ${d.field}</code> shows <code>${JSON.stringify(d.live)}</code>, should be <code>${JSON.stringify(d.expected)}</code></li>`)}</ul><//>`}`;
}

const stateOf = (m) => html`<${Status} value=${m.state} />${m.buildingGeneration > 0 && html` <small>builds generation ${m.buildingGeneration}${m.readyToSwitch ? ', ready to switch' : ''}</small>`}
  ${m.cause && html` <small>${m.cause}${m.command && html` <code>${m.command}</code>`}</small>`}`;

export function Operations() {
  const [models, error, reloadModels] = useAnswer('/v1/ops/readmodels?limit=200', 2000);
  const [groups, groupError, reloadGroups] = useAnswer('/v1/ops/subscriptions?limit=200', 2000);
  const [jobs, jobError, reloadJobs] = useAnswer('/v1/ops/jobs?limit=20', 2000);
  const done = () => { reloadModels(); reloadGroups(); reloadJobs(); };
  const ifOperator = (column) => (may('operator') ? [column] : []);
  return html`<h1>Operations</h1><h2>Read models</h2><${Problem} error=${error} /><${Table} label="Read models" rows=${models?.items} error=${error} columns=${[
      ['Name', (m) => m.name], ['Generation', (m) => m.generation, 'number'], ['State', stateOf], ['Lag', (m) => m.lagEvents, 'number'],
      ['Behind', (m) => `${age(m.lagSeconds)}${m.etaSeconds ? `, ${age(m.etaSeconds)} to go` : ''}`, 'number'], ['Rate', (m) => `${Math.round(m.eventsPerSecond)}/s`, 'number'], ['Blocked', (m) => html`<span class=${m.blocked ? 'low' : ''}>${m.blocked}</span>`, 'number'],
      ...ifOperator(['', (m) => html`<${Model} model=${m} done=${done} />`])]} />
    ${(models?.items || []).filter((m) => m.blocked > 0).map((m) => html`<${Blocked} key=${m.name} model=${m.name} done=${done} />`)}
    <h2>Subscriptions</h2><${Problem} error=${groupError} /><${Table} label="Subscriptions" rows=${groups?.items} error=${groupError} columns=${[
      ['Group', (g) => g.group], ['Status', (g) => g.status], ['Position', (g) => g.position], ['In flight', (g) => g.inFlight, 'number'], ['Parked', (g) => html`<span class=${g.parked ? 'low' : ''}>${g.parked}</span>`, 'number'],
      ['Consumers', (g) => g.consumers, 'number'], ...ifOperator(['', (g) => html`<${Group} group=${g} done=${done} />`])]} />
    ${(groups?.items || []).filter((g) => g.parked > 0).map((g) => html`<${Parked} key=${g.group} group=${g.group} />`)}
    <h2>Jobs</h2><${Problem} error=${jobError} /><${Table} label="Jobs" rows=${jobs?.items} error=${jobError} empty="No job yet." columns=${[
      ['Begun', (j) => time(j.createdAt)], ['Job', (j) => j.kind], ['Of', (j) => j.target], ['State', (j) => html`<${Status} value=${j.state} />`],
      ['Progress', (j) => (j.progress.total ? html`<progress value=${j.progress.done} max=${j.progress.total} aria-label="Progress" title=${`${j.progress.done} of ${j.progress.total}`}></progress>` : '')],
      ['Came of it', (j) => html`<${Outcome} job=${j} />`], ['By', (j) => j.actor],
      ...ifOperator(['', (j) => j.state === 'running' && html`<${Act} label="Cancel" name=${`Cancel ${j.kind} of ${j.target}`} danger done=${done} said="The job is cancelled." request=${() => ({ method: 'DELETE', path: `/v1/ops/jobs/${at(j.id)}` })} />`])]} />`;
}
