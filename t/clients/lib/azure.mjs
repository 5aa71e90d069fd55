// azure.mjs SDK ENDPOINT TOKEN: drives @azure/container-registry, as it is,
// against the registry at ENDPOINT.
//
// SDK is the directory with node_modules.  TOKEN is what Entra ID would have
// given; without it the client is anonymous.  It prints a line of JSON for each
// step, {"step":NAME,"value":...} or {"step":NAME,"error":{status,code}}, which
// azure.t compares with what is right.  azure.py has the same steps.

import { createRequire } from "node:module";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";

const [sdk, endpoint, token] = process.argv.slice(2);
const require = createRequire(sdk + "/");
const {
    ContainerRegistryClient, ContainerRegistryContentClient,
} = require("@azure/container-registry");

const credential = {
    getToken: async () => ({
        token, expiresOnTimestamp: Date.now() + 3600 * 1000,
    }),
};
const client = token ? new ContainerRegistryClient(endpoint, credential)
                     : new ContainerRegistryClient(endpoint);


async function step(name, what) {
    let line;

    try {
        const value = await what();
        line = { step: name, value: value === undefined ? null : value };
    } catch (e) {
        line = { step: name, error: { status: e.statusCode ?? null,
                                      code: code(e) } };
    }

    console.log(JSON.stringify(line));
}

// the code in the body, which is the message where the SDK wanted a stream
function code(e) {
    try {
        return (e.details?.errors ?? JSON.parse(e.message).errors)[0].code;
    } catch {
        return e.message;
    }
}

async function all(items) {
    const got = [];
    for await (const item of items) {
        got.push(item);
    }
    return got;
}

async function pages(items, size, name) {
    const got = [];
    for await (const page of items.byPage({ maxPageSize: size })) {
        got.push(page.map(name));
    }
    return got;
}

const digest = (bytes) =>
    "sha256:" + createHash("sha256").update(bytes).digest("hex");

const rights = (o) => [o.canDelete, o.canWrite, o.canList, o.canRead];
const times = (o) => [o.createdOn.getTime(), o.lastUpdatedOn.getTime()];

const repository = (o) => ({
    name: o.name, tags: o.tagCount, manifests: o.manifestCount,
    rights: rights(o), times: times(o),
});
const tag = (o) => ({
    name: o.name, digest: o.digest, rights: rights(o), times: times(o),
});
const manifest = (o) => ({
    digest: o.digest, repository: o.repositoryName, size: o.sizeInBytes,
    architecture: o.architecture ?? null, os: o.operatingSystem ?? null,
    tags: [...(o.tags ?? [])].sort(), rights: rights(o), times: times(o),
});


const a = client.getRepository("lib/a");

await step("repositories", () => all(client.listRepositoryNames()));
await step("repositories in pages", () =>
    pages(client.listRepositoryNames(), 2, (name) => name));
await step("repository", async () => repository(await a.getProperties()));
await step("unknown repository", () =>
    client.getRepository("lib/none").getProperties());
await step("tags", async () =>
    (await all(a.getArtifact("v1").listTagProperties())).map(tag));
await step("tags by time", async () =>
    (await all(a.getArtifact("v1").listTagProperties(
        { order: "LastUpdatedOnDescending" }))).map((t) => t.name));
await step("tags in pages", () =>
    pages(a.getArtifact("v1").listTagProperties(
        { order: "LastUpdatedOnAscending" }), 2, (t) => t.name));
await step("tag", async () =>
    tag(await a.getArtifact("v1").getTagProperties("v1")));
await step("unknown tag", () =>
    a.getArtifact("none").getTagProperties("none"));
await step("manifests", async () =>
    (await all(a.listManifestProperties())).map(manifest));
await step("manifests in pages", () =>
    pages(a.listManifestProperties({ order: "LastUpdatedOnAscending" }), 2,
          (m) => m.digest));
await step("manifest", async () =>
    manifest(await a.getArtifact("v1").getManifestProperties()));
await step("index", async () => {
    const index = await a.getArtifact("multi").getManifestProperties();
    return { ...manifest(index), references: index.relatedArtifacts.map((r) =>
        [r.digest, r.architecture ?? null, r.operatingSystem ?? null]) };
});

if (!token) {
    await step("not allowed: update", () => a.updateProperties(
        { canDelete: false }));
    await step("not allowed: delete", () => a.delete());
    process.exit(0);
}


// attributes

await step("repository is not listed", async () =>
    rights(await a.updateProperties({ canList: false })));
await step("repositories without it", () => all(client.listRepositoryNames()));
await step("repository is listed", async () =>
    rights(await a.updateProperties({ canList: true })));
await step("tag is locked", async () => rights(
    await a.getArtifact("v1").updateTagProperties("v1", { canWrite: false })));
await step("locked tag: delete", () => a.getArtifact("v1").deleteTag("v1"));
await step("tag is unlocked", async () => rights(
    await a.getArtifact("v1").updateTagProperties("v1", { canWrite: true })));
await step("manifest is locked", async () => rights(
    await a.getArtifact("v1").updateManifestProperties(
        { canDelete: false, canList: false })));
await step("locked manifest: delete", () => a.getArtifact("v1").delete());
await step("manifest is unlocked", async () => rights(
    await a.getArtifact("v1").updateManifestProperties(
        { canDelete: true, canList: true })));


// content

const content = new ContainerRegistryContentClient(endpoint, "lib/new",
                                                   credential);
const small = Buffer.from("a small blob");
const large = Buffer.alloc(9 * 1024 * 1024 + 10);
for (let i = 0; i + 4 <= large.length; i += 4) {
    large.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
}
const config = Buffer.from('{"architecture":"riscv64","os":"linux"}');

const upload = async (bytes) => {
    const got = await content.uploadBlob(Readable.from([bytes],
                                                       { objectMode: false }));
    return [got.digest === digest(bytes), got.sizeInBytes];
};
const download = async (bytes) => {
    const got = await content.downloadBlob(digest(bytes));
    const pieces = [];
    for await (const piece of got.content) {
        pieces.push(piece);
    }
    const whole = Buffer.concat(pieces);
    return [got.digest === digest(bytes), whole.equals(bytes)];
};

const image = {
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json",
              digest: digest(config), size: config.length },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar",
               digest: digest(large), size: large.length }],
};
const bytes = Buffer.from(JSON.stringify(image));

await step("upload", () => upload(small));
await step("upload in chunks", () => upload(large));
await step("upload of a config", () => upload(config));
await step("download", () => download(small));
await step("download of what is large", () => download(large));
await step("unknown blob", () => content.downloadBlob(digest("none")));
await step("manifest by tag", async () =>
    (await content.setManifest(bytes, { tag: "one" })).digest
    === digest(bytes));
await step("manifest by digest", async () => {
    const other = { ...image, annotations: { is: "untagged" } };
    const set = await content.setManifest(other);
    const got = await content.getManifest(set.digest);
    return [got.digest === set.digest, got.manifest.annotations.is];
});
await step("get manifest", async () => {
    const got = await content.getManifest("one");
    return [got.digest === digest(bytes), got.mediaType,
            got.content.equals(bytes), got.manifest.config.size];
});
await step("unknown manifest", () => content.getManifest("none"));
await step("what was made", async () => {
    const made = client.getRepository("lib/new");
    const { architecture, os, size, tags } = manifest(
        await made.getArtifact("one").getManifestProperties());
    const { manifests } = repository(await made.getProperties());
    return { architecture, os, size, tags, manifests };
});


// deletion

await step("delete blob", () => content.deleteBlob(digest(small)));
await step("deleted blob", () => content.downloadBlob(digest(small)));
await step("delete blob again", () => content.deleteBlob(digest(small)));
await step("delete tag", () =>
    client.getArtifact("lib/new", "one").deleteTag("one"));
await step("deleted tag", () =>
    client.getArtifact("lib/new", "one").getTagProperties("one"));
await step("delete manifest", () => content.deleteManifest(digest(bytes)));
await step("deleted manifest", () => content.getManifest(digest(bytes)));
await step("delete repository", () => client.deleteRepository("lib/new"));
await step("deleted repository", () =>
    client.getRepository("lib/new").getProperties());
await step("delete repository again", () =>
    client.deleteRepository("lib/new"));
