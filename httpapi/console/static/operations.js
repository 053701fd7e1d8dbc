// What operators watch and mend: read models, groups of subscriptions, jobs.
import { html } from '/console/vendor/htm-preact.js';
import { send } from '/console/api.js';
import { time, Status, Problem, useAnswer, Table, Act } from '/console/parts.js';

const at = encodeURIComponent;
const sure = (question, work) => (confirm(question) ? work() : null);

function Model({ model, done }) {
  const path = `/v1/ops/readmodels/${at(model.name)}`;
  const job = (kind, body) => send('POST', `${path}/${kind}`, body || {});
  return html`<div class="actions"><${Act} label="Verify" done=${done} action=${() => job('verify')} /><${Act} label="Rebuild" done=${done} action=${() => job('rebuild')} />
    ${model.readyToSwitch && html`<${Act} label="Switch" done=${done} action=${() => sure(`Serve ${model.name} from its new generation?`, () => job('switch'))} />`}
    ${model.previousGeneration && html`<${Act} label="Roll back" done=${done} action=${() => sure(`Serve ${model.name} from generation ${model.previousGeneration} again?`, () => job('rollback'))} />`}
    ${model.state === 'paused' ? html`<${Act} label="Resume" done=${done} action=${() => job('resume')} />`
    : html`<${Act} label="Pause" done=${done} action=${() => sure(`Stop applying events to ${model.name}?`, () => job('pause'))} />`}</div>`;
}

function Blocked({ model, done }) {
  const path = `/v1/ops/readmodels/${at(model)}`;
  const [list, error, reload] = useAnswer(`${path}/blocked`, 5000);
  const after = () => { reload(); done(); };
  return html`<h3>Blocked in ${model}</h3><${Problem} error=${error} /><${Table} rows=${list?.items} empty="Nothing is blocked any more." columns=${[
    ['Stream', (b) => b.stream], ['#', (b) => b.revision, 'number'], ['Event', (b) => b.type], ['Reason', (b) => b.reason], ['Attempts', (b) => b.attempts, 'number'], ['Since', (b) => time(b.since)],
    ['', (b) => html`<div class="actions"><${Act} label="Retry" done=${after} action=${() => send('POST', `${path}/retry`, { streams: [b.stream] })} />
      <${Act} danger label="Skip" done=${after} action=${() => sure(`Leave event ${b.revision} of ${b.stream} out of ${model} for good?`, () => send('POST', `${path}/skip`, { streams: [b.stream] }))} /></div>`]]} />`;
}

function Parked({ group }) {
  const [list, error] = useAnswer(`/v1/ops/subscriptions/${at(group)}/parked`, 5000);
  return html`<h3>Parked in ${group}</h3><${Problem} error=${error} /><${Table} rows=${list?.items} empty="Nothing is parked any more." columns=${[
    ['At', (e) => time(e.at)], ['Stream', (e) => e.stream], ['#', (e) => e.revision, 'number'], ['Event', (e) => e.type], ['Reason', (e) => e.reason]]} />`;
}

// change asks for settings, shows what they would change and does it if that is wanted.
async function change(group, path) {
  const text = prompt(`Settings of ${group.group} to change, of ${JSON.stringify(group.settings)}`, JSON.stringify({ messageTimeoutMs: group.settings.messageTimeoutMs }));
  if (!text) return null;
  const body = { settings: JSON.parse(text) };
  const would = await send('PATCH', `${path}?dryRun=true`, body);
  if (would.changes.length === 0) return null;
  const plan = [...would.changes.map((c) => `${c.setting}: ${c.from} → ${c.to}`), ...would.warnings.map((w) => `Careful: ${w}`), `${would.consumers} consumers reconnect.`];
  return confirm(plan.join('\n')) ? send('PATCH', path, body) : null;
}

function Group({ group, done }) {
  const path = `/v1/ops/subscriptions/${at(group.group)}`;
  return html`<div class="actions"><${Act} label="Reset" danger done=${done} action=${() => sure(`Deliver everything to ${group.group} again from the start?`, () => send('POST', `${path}/reset`, { to: 'start' }))} />
    <${Act} label="Settings" done=${done} action=${() => change(group, path)} />
    ${group.parked > 0 && html`<${Act} label="Replay parked" done=${done} action=${() => send('POST', `${path}/replay-parked`, {})} />`}</div>`;
}

// outcome says in a few words what came of a job.
function outcome(j) {
  const r = j.result || {};
  if (r.error) return r.error;
  if (r.checked !== undefined) return `${r.checked} checked, ${r.differing} differing`;
  return r.generation ? `generation ${r.generation}` : '';
}

export function Operations() {
  const [models, error, reloadModels] = useAnswer('/v1/ops/readmodels', 2000);
  const [groups, groupError, reloadGroups] = useAnswer('/v1/ops/subscriptions', 2000);
  const [jobs, jobError, reloadJobs] = useAnswer('/v1/ops/jobs?limit=20', 2000);
  const done = () => { reloadModels(); reloadGroups(); reloadJobs(); };
  return html`<h1>Operations</h1><h2>Read models</h2><${Problem} error=${error} /><${Table} rows=${models?.items} columns=${[
      ['Name', (m) => m.name], ['Generation', (m) => m.generation, 'number'], ['State', (m) => html`<${Status} value=${m.state} />${m.cause ? html` <small>${m.cause}${m.command ? html` <code>${m.command}</code>` : ''}</small>` : ''}`], ['Lag', (m) => m.lagEvents, 'number'],
      ['Behind', (m) => `${Number(m.lagSeconds).toFixed(1)} s`, 'number'], ['Rate', (m) => `${Math.round(m.eventsPerSecond)}/s`, 'number'], ['Blocked', (m) => html`<span class=${m.blocked ? 'low' : ''}>${m.blocked}</span>`, 'number'],
      ['', (m) => html`<${Model} model=${m} done=${done} />`]]} />
    ${(models?.items || []).filter((m) => m.blocked > 0).map((m) => html`<${Blocked} key=${m.name} model=${m.name} done=${done} />`)}
    <h2>Subscriptions</h2><${Problem} error=${groupError} /><${Table} rows=${groups?.items} columns=${[
      ['Group', (g) => g.group], ['Status', (g) => g.status], ['Position', (g) => g.position], ['In flight', (g) => g.inFlight, 'number'], ['Parked', (g) => html`<span class=${g.parked ? 'low' : ''}>${g.parked}</span>`, 'number'],
      ['Consumers', (g) => g.consumers, 'number'], ['', (g) => html`<${Group} group=${g} done=${done} />`]]} />
    ${(groups?.items || []).filter((g) => g.parked > 0).map((g) => html`<${Parked} key=${g.group} group=${g.group} />`)}
    <h2>Jobs</h2><${Problem} error=${jobError} /><${Table} rows=${jobs?.items} empty="No job yet." columns=${[
      ['Begun', (j) => time(j.createdAt)], ['Job', (j) => j.kind], ['Read model', (j) => j.target], ['State', (j) => html`<${Status} value=${j.state} />`],
      ['Progress', (j) => (j.progress.total ? html`<progress value=${j.progress.done} max=${j.progress.total} title=${`${j.progress.done} of ${j.progress.total}`}></progress>` : '')],
      ['Came of it', (j) => outcome(j)], ['By', (j) => j.actor],
      ['', (j) => j.state === 'running' && html`<${Act} label="Cancel" danger done=${done} action=${() => send('DELETE', `/v1/ops/jobs/${at(j.id)}`)} />`]]} />`;
}
