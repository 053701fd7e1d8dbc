"use strict";

// search finds operations by what they are called, their path and their tag; as it comes, the page only looks at tags.
const search = () => ({
  fn: {
    opsFilter(tags, phrase) {
      const words = phrase.toLowerCase();
      const has = (...texts) => texts.join(" ").toLowerCase().includes(words);
      return tags
        .map((tag, name) => (has(name) ? tag : tag.set("operations", tag.get("operations").filter((o) => has(o.get("method"), o.get("path"), o.getIn(["operation", "summary"]), o.getIn(["operation", "operationId"]))))))
        .filter((tag) => tag.get("operations").size > 0);
    },
  },
});

// bare leaves what is optional empty: a request that is tried out would carry the example of each header, the same
// Idempotency-Key for everybody and an If-Match that is not so. What it may look like is in the description instead.
const bare = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (given) => {
          const shown = structuredClone(given);
          for (const parameter of Object.values(shown.components?.parameters || {})) {
            if (parameter.required || parameter.example === undefined) continue;
            parameter.description = `${parameter.description || ""} Such as \`${parameter.example}\`.`.trim();
            delete parameter.example;
          }
          return update(shown);
        },
      },
    },
  },
});

// Everything comes from this server: no validator service, no fonts, no query parameters that point elsewhere.
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    filter: true,
    plugins: [search, bare],
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    persistAuthorization: false,
    queryConfigEnabled: false,
    validatorUrl: null,
  });
});
