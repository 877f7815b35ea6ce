// sigstore-js as a program, for the fixtures `sigstore_js` and `sigstore_js4`: its own command can sign attestations only, and
// takes its trust from TUF only. `SIGSTORE` names the package (NODE_PATH leads to it).
//
//   sign   --signing-config FILE --identity-token FILE --bundle FILE [--payload-type TYPE] ARTIFACT
//   verify --trusted-root FILE --certificate-identity ID --certificate-oidc-issuer URL --bundle FILE ARTIFACT
//
// With --payload-type the artifact is the payload of an envelope. Ends in 1, with the error's code, when it refuses.
"use strict"
const { readFileSync, writeFileSync } = require("node:fs")
const { createRequire } = require("node:module")
const { parseArgs } = require("node:util")

const own = createRequire(require.resolve(`${process.env.SIGSTORE}/package.json`)) // its versions of what it is made of

const names = ["signing-config", "identity-token", "bundle", "payload-type", "trusted-root", "certificate-identity"]
names.push("certificate-oidc-issuer")
const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]))
const { values, positionals } = parseArgs({ options, allowPositionals: true })
const [command, path] = positionals
const json = (name) => JSON.parse(readFileSync(values[name], "utf8"))

async function sign() {
  const { bundleBuilderFromSigningConfig } = own("@sigstore/sign")
  const { bundleToJSON } = own("@sigstore/bundle")
  const { SigningConfig } = own("@sigstore/protobuf-specs")
  const token = readFileSync(values["identity-token"], "utf8")
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: SigningConfig.fromJSON(json("signing-config")),
    identityProvider: { getToken: async () => token },
    bundleType: values["payload-type"] ? "dsseEnvelope" : "messageSignature",
  })
  const bundle = await builder.create({ data: readFileSync(path), type: values["payload-type"] })
  writeFileSync(values.bundle, JSON.stringify(bundleToJSON(bundle)))
}

function verify() {
  const { Verifier, toSignedEntity, toTrustMaterial } = own("@sigstore/verify")
  const { bundleFromJSON } = own("@sigstore/bundle")
  const { TrustedRoot } = own("@sigstore/protobuf-specs")
  const material = toTrustMaterial(TrustedRoot.fromJSON(json("trusted-root")))
  const identity = values["certificate-identity"]
  // Before @sigstore/verify 4 the name is a regular expression.
  const pattern = `^${identity.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`
  const policy = {
    subjectAlternativeName: own("@sigstore/verify/package.json").version.startsWith("3.") ? pattern : identity,
    extensions: { issuer: values["certificate-oidc-issuer"] },
  }
  const entity = toSignedEntity(bundleFromJSON(json("bundle")), readFileSync(path))
  new Verifier(material).verify(entity, policy)
}

async function main() {
  await { sign, verify }[command]()
}

main().catch((error) => {
  process.stderr.write(`${error.code ?? error.name}: ${error.message}\n`)
  for (let cause = error.cause; cause; cause = cause.cause) process.stderr.write(`  ${cause.message}\n`)
  process.exitCode = 1
})
