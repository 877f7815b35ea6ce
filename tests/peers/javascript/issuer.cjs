// oidc-provider on loopback, for the fixture `oidc_provider`: everybody who signs in has the same account, and agrees.
//
// JSON in the environment (`SETTINGS`) has the claims of the account, the clients and the lifetime of tokens. Prints its address
// when it listens; ends when its standard input does.
"use strict"
const { createServer } = require("node:http")
const { Provider } = require("oidc-provider")

const { account, clients, lifetime } = JSON.parse(process.env.SETTINGS)

const server = createServer((request, response) => {
  const place = new URL(request.url, "http://127.0.0.1")
  if (place.pathname.startsWith("/interaction/")) return agree(request, response).catch((error) => fail(response, error))
  handler(request, response)
})
let handler, provider

function fail(response, error) {
  response.statusCode = 500
  response.end(String(error.stack))
}

// What a person would do on the pages of sign-in and consent.
async function agree(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response)
  if (prompt.name === "login") {
    return provider.interactionFinished(request, response, { login: { accountId: account.sub } })
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
  grant.addOIDCScope(params.scope)
  grant.addOIDCClaims(prompt.details.missingOIDCClaims ?? [])
  const consent = { grantId: await grant.save() }
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true })
}

server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`
  provider = new Provider(url, {
    clients,
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false, // the address stands in the identity token itself
    cookies: { keys: ["a key of the tests"] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: async (ctx, form) => { ctx.body = form },
        userCodeConfirmSource: async (ctx, form) => { ctx.body = form },
        successSource: async (ctx) => { ctx.body = "signed in" },
      },
    },
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => account }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    ttl: { IdToken: lifetime, AccessToken: lifetime, AuthorizationCode: 60, DeviceCode: 600, Grant: 600, Session: 600, Interaction: 600, ClientCredentials: lifetime },
  })
  handler = provider.callback()
  process.stdout.write(`${url}\n`)
})
process.stdin.on("end", () => process.exit(0)).resume()
