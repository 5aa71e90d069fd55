// node provider.mjs DIRECTORY ISSUER AUDIENCE: an OpenID provider on the port
// of the issuer, with the package oidc-provider of DIRECTORY/node_modules.  Its
// clients RS256, ES256 and EdDSA, each with the secret "secret", get access
// tokens that are JSON Web Tokens for the audience, signed by that algorithm.

import { generateKeyPairSync } from 'node:crypto';

const [dir, issuer, audience] = process.argv.slice(2);

const { default: Provider } =
    await import(`${dir}/node_modules/oidc-provider/lib/index.js`);

const algorithms = {
    RS256: ['rsa', { modulusLength: 2048 }],
    ES256: ['ec', { namedCurve: 'P-256' }],
    EdDSA: ['ed25519', {}],
};

const keys = Object.entries(algorithms).map(([alg, [type, options]]) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    alg, use: 'sig', kid: `key of ${alg}`,
}));

const provider = new Provider(issuer, {
    jwks: { keys },
    clients: Object.keys(algorithms).map((alg) => ({
        client_id: alg, client_secret: 'secret', redirect_uris: [],
        response_types: [], grant_types: ['client_credentials'],
    })),
    enabledJWA: { idTokenSigningAlgValues: Object.keys(algorithms) },
    extraTokenClaims: () => ({ groups: ['dev', 'ops'] }),
    features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
            enabled: true,
            defaultResource: () => 'urn:registry',
            getResourceServerInfo: (ctx, resource, client) => ({
                scope: '', audience, accessTokenFormat: 'jwt',
                accessTokenTTL: 120,
                jwt: { sign: { alg: client.clientId } },
            }),
        },
    },
});

provider.listen(Number(new URL(issuer).port), '127.0.0.1',
                () => console.log('it listens'));
