// Commands that need to be told something, or to be sure: a button that opens a dialog.
import { html, useState, useEffect, useRef } from '/console/vendor/htm-preact.js';
import { get } from '/console/api.js';
import { Problem, useCommand, digitsOf, say } from '/console/parts.js';

// minor turns what a person typed into minor units; null: that is no amount of the currency.
function minor(text, currency) {
  const [, sign, whole, part = ''] = /^(-?)(\d{1,14})(?:[.,](\d+))?$/.exec(text) || [];
  const digits = digitsOf(currency);
  return whole === undefined || part.length > digits ? null : Number(sign + whole + part.padEnd(digits, '0'));
}

// parsed gives what a field's text stands for, or why it can't be sent.
function parsed(field, text, values) {
  const typed = typeof text === 'string' ? text.trim() : text;
  if (typed === '' || typed === undefined) return field.required ? { wrong: `${field.label} is needed.` } : {};
  if (field.type === 'number') return /^\d{1,15}$/.test(typed) ? { value: Number(typed) } : { wrong: `${field.label} is a whole number.` };
  if (field.type !== 'money') return { value: typed };
  const currency = field.currency || values.currency;
  const value = minor(typed, currency);
  return value === null ? { wrong: `${field.label} is an amount such as ${digitsOf(currency) ? `12.${'0'.repeat(digitsOf(currency))}` : '12'}.` } : { value };
}

// collect makes the values of all fields, and says what is wrong by the name of the field; lines are looked at one by one.
function collect(fields, values) {
  const found = { values: {}, wrong: {} };
  for (const field of fields) {
    if (field.type === 'lines') {
      found.values[field.name] = values[field.name].map((line, i) => {
        const own = collect(lineFields, { ...line, currency: values.currency });
        for (const [name, text] of Object.entries(own.wrong)) found.wrong[`${field.name}/${i}/${name}`] = text;
        return own.values;
      });
      continue;
    }
    const { value, wrong } = parsed(field, values[field.name], values);
    if (wrong) found.wrong[field.name] = wrong;
    if (value !== undefined) found.values[field.name] = value;
  }
  return found;
}

export const lineFields = [
  { name: 'sku', label: 'SKU', required: true, list: 'skus' }, { name: 'quantity', label: 'Pieces', type: 'number', required: true },
  { name: 'name', label: 'Name', placeholder: 'as in the catalogue' }, { name: 'unitPrice', label: 'Price', type: 'money', placeholder: 'as in the catalogue' },
];
const newLine = { sku: '', quantity: '1', name: '', unitPrice: '' };

// Skus offers what the catalogue has to whoever types a SKU.
function Skus() {
  const [products, setProducts] = useState([]);
  useEffect(() => { get('/v1/products?limit=200').then((page) => setProducts(page.items.filter((p) => p.status === 'listed')), () => {}); }, []);
  return html`<datalist id="skus">${products.map((p) => html`<option value=${p.sku}>${p.name}</option>`)}</datalist>`;
}

function Field({ field, id, value, wrong, change }) {
  const own = { id, name: id, required: field.required, 'aria-invalid': wrong ? 'true' : undefined, 'aria-describedby': wrong ? `${id}-wrong` : undefined };
  const typed = (e) => change(e.target.value);
  let input = html`<input ...${own} type="text" inputmode=${{ number: 'numeric', money: 'decimal' }[field.type]} list=${field.list} placeholder=${field.placeholder} maxlength=${field.max} autocomplete="off" value=${value ?? ''} onInput=${typed} />`;
  if (field.choices) input = html`<select ...${own} value=${value ?? ''} onChange=${typed}>${field.choices.map((c) => html`<option value=${c}>${c}</option>`)}</select>`;
  if (field.type === 'text') input = html`<textarea ...${own} rows="2" value=${value ?? ''} onInput=${typed}></textarea>`;
  return html`<div class="field"><label for=${id}>${field.label}${field.hint ? html` <small>(${field.hint})</small>` : ''}</label>${input}${wrong && html`<p id=${`${id}-wrong`} class="wrong">${wrong}</p>`}</div>`;
}

function Lines({ name, lines, wrong, change }) {
  const set = (i, part) => change(lines.map((line, n) => (n === i ? { ...line, ...part } : line)));
  return html`${lines.map((line, i) => html`<fieldset key=${i}><legend>Line ${i + 1}</legend>
    ${lineFields.map((field) => html`<${Field} field=${field} id=${`${name}/${i}/${field.name}`} value=${line[field.name]} wrong=${wrong[`${name}/${i}/${field.name}`]} change=${(value) => set(i, { [field.name]: value })} />`)}
    ${lines.length > 1 && html`<button type="button" aria-label=${`Leave line ${i + 1} out`} onClick=${() => change(lines.filter((_, n) => n !== i))}>Leave out</button>`}</fieldset>`)}
    <p><button type="button" onClick=${() => change([...lines, newLine])}>Another line</button></p>`;
}

// start is what the fields hold when the dialog opens.
const start = (fields) => Object.fromEntries(fields.map((f) => [f.name, f.type === 'lines' ? [newLine] : f.value ?? f.choices?.[0] ?? '']));

// wrongOf sorts the findings of a refusal by the field they are about.
const wrongOf = (error) => Object.fromEntries((error.problem?.errors || []).map((e) => [e.pointer.replace(/^\/((settings|path|query)\/)?/, ''), e.detail]));

function Dialog({ title, text, fields, request, plan, run, busy, close, done, said, label, danger }) {
  const dialog = useRef(null);
  const [values, setValues] = useState(() => start(fields));
  const [wrong, setWrong] = useState({});
  const [error, setError] = useState(null);
  const [planned, setPlanned] = useState(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  useEffect(() => { dialog.current.querySelector('[aria-invalid]')?.focus(); }, [wrong]);
  const failed = (refused) => { setError(refused); setPlanned(null); setWrong(wrongOf(refused)); };
  const submit = async (e) => {
    e.preventDefault();
    const found = collect(fields, values);
    setWrong(found.wrong);
    if (Object.keys(found.wrong).length > 0) return;
    try {
      const command = request(found.values);
      if (plan && !planned) {
        const would = await run({ ...command, path: `${command.path}?dryRun=true` });
        if (would) { setError(null); setPlanned(plan(would, found.values)); }
        return;
      }
      const answer = await run(command);
      if (!answer) return;
      dialog.current?.close();
      say(said || `${label}: done.`);
      done?.(answer);
    } catch (refused) { failed(refused); }
  };
  const set = (name, value) => { setPlanned(null); setValues((old) => ({ ...old, [name]: value })); };
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${close}><form onSubmit=${submit} novalidate><h2>${title}</h2>
    ${text && html`<p>${text}</p>`}
    ${fields.some((f) => f.list || f.type === 'lines') && html`<${Skus} />`}
    ${fields.map((field) => (field.type === 'lines' ? html`<${Lines} name=${field.name} lines=${values[field.name]} wrong=${wrong} change=${(lines) => set(field.name, lines)} />`
    : html`<${Field} field=${field} id=${field.name} value=${values[field.name]} wrong=${wrong[field.name]} change=${(value) => set(field.name, value)} />`))}
    ${planned && html`<div class="plan" role="status"><p>What this will do:</p><ul>${planned.map((line) => html`<li>${line}</li>`)}</ul></div>`}
    <${Problem} error=${error} />${error?.unsure && html`<p class="stale">Nobody knows whether this was done. Press again: it is done only once.</p>`}
    <p class="actions"><button class=${danger ? 'danger' : 'main'} aria-disabled=${busy}>${plan && !planned ? 'What would it do?' : label}</button><button type="button" onClick=${() => dialog.current.close()}>Never mind</button></p></form></dialog>`;
}

// Ask is the button. request makes the command from the values of the fields; with a plan the command is tried out
// first, and plan makes the lines that say what it would do.
export function Ask({ name, fields = [], ...rest }) {
  const [open, setOpen] = useState(false);
  const [run, busy] = useCommand();
  return html`<span><button type="button" class=${rest.danger ? 'danger' : ''} aria-label=${name} aria-haspopup="dialog" onClick=${() => setOpen(true)}>${rest.label}</button>
    ${open && html`<${Dialog} ...${rest} fields=${fields} run=${run} busy=${busy} close=${() => setOpen(false)} />`}</span>`;
}
