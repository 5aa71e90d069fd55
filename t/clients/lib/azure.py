"""azure.py ENDPOINT CA TOKEN: drives azure-containerregistry, as it is.

The same steps as in azure.mjs, which tells what is printed; where the two
libraries differ a step is in one of them only.
"""

import hashlib
import io
import json
import sys
import time

from azure.containerregistry import (ArtifactManifestOrder, ArtifactTagOrder,
                                     ContainerRegistryClient)
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError

endpoint, ca, token = (sys.argv[1:] + [''])[:3]


class Credential:
    def get_token(self, *scopes, **options):
        return AccessToken(token, int(time.time()) + 3600)


client = ContainerRegistryClient(endpoint, Credential() if token else None,
                                 connection_verify=ca)


def step(name, what):
    line = {'step': name}

    try:
        line['value'] = what()
    except HttpResponseError as error:
        try:
            error.response.read()
            code = json.loads(error.response.text())['errors'][0]['code']
        except Exception:
            code = str(error)
        line['error'] = {'status': error.status_code, 'code': code}
    except Exception as error:
        line['error'] = {'status': None, 'code': repr(error)}

    print(json.dumps(line), flush=True)


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def rights(o):
    return [o.can_delete, o.can_write, o.can_list, o.can_read]


def milliseconds(when):
    return int(when.timestamp()) * 1000 + when.microsecond // 1000


def times(o):
    return [milliseconds(o.created_on), milliseconds(o.last_updated_on)]


def repository(o):
    return {'name': o.name, 'tags': o.tag_count, 'manifests': o.manifest_count,
            'rights': rights(o), 'times': times(o)}


def tag(o):
    return {'name': o.name, 'digest': o.digest, 'rights': rights(o),
            'times': times(o)}


def manifest(o):
    return {'digest': o.digest, 'repository': o.repository_name,
            'size': o.size_in_bytes, 'architecture': o.architecture,
            'os': o.operating_system, 'tags': sorted(o.tags or []),
            'rights': rights(o), 'times': times(o)}


def pages(items, name):
    return [[name(item) for item in page] for page in items.by_page()]


step('repositories', lambda: list(client.list_repository_names()))
step('repositories in pages', lambda: pages(
    client.list_repository_names(results_per_page=2), lambda name: name))
step('repository', lambda: repository(
    client.get_repository_properties('lib/a')))
step('unknown repository',
     lambda: client.get_repository_properties('lib/none'))
step('tags', lambda: [tag(t) for t in client.list_tag_properties('lib/a')])
step('tags by time', lambda: [t.name for t in client.list_tag_properties(
    'lib/a', order_by=ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING)])
step('tags in pages', lambda: pages(client.list_tag_properties(
    'lib/a', order_by=ArtifactTagOrder.LAST_UPDATED_ON_ASCENDING,
    results_per_page=2), lambda t: t.name))
step('tag', lambda: tag(client.get_tag_properties('lib/a', 'v1')))
step('unknown tag', lambda: client.get_tag_properties('lib/a', 'none'))
step('manifests', lambda: [manifest(m) for m in
                           client.list_manifest_properties('lib/a')])
step('manifests in pages', lambda: pages(client.list_manifest_properties(
    'lib/a', order_by=ArtifactManifestOrder.LAST_UPDATED_ON_ASCENDING,
    results_per_page=2), lambda m: m.digest))
step('manifest', lambda: manifest(
    client.get_manifest_properties('lib/a', 'v1')))
step('index', lambda: manifest(
    client.get_manifest_properties('lib/a', 'multi')))

if not token:
    step('not allowed: update', lambda: client.update_repository_properties(
        'lib/a', can_delete=False))
    step('not allowed: delete', lambda: client.delete_repository('lib/a'))
    step('anonymous pull',
         lambda: client.get_manifest('lib/a', 'v1').media_type)
    sys.exit(0)


# attributes

step('repository is not listed', lambda: rights(
    client.update_repository_properties('lib/a', can_list=False)))
step('repositories without it', lambda: list(client.list_repository_names()))
step('repository is listed', lambda: rights(
    client.update_repository_properties('lib/a', can_list=True)))
step('tag is locked', lambda: rights(
    client.update_tag_properties('lib/a', 'v1', can_write=False)))
step('locked tag: delete', lambda: client.delete_tag('lib/a', 'v1'))
step('tag is unlocked', lambda: rights(
    client.update_tag_properties('lib/a', 'v1', can_write=True)))
step('manifest is locked', lambda: rights(client.update_manifest_properties(
    'lib/a', 'v1', can_delete=False, can_list=False)))
step('locked manifest: delete', lambda: client.delete_manifest('lib/a', 'v1'))
step('manifest is unlocked', lambda: rights(client.update_manifest_properties(
    'lib/a', 'v1', can_delete=True, can_list=True)))


# content

small = b'a small blob'
large = b''.join((i * 2654435761 % 2**32).to_bytes(4, 'little')
                 for i in range(0, 9 * 1024 * 1024, 4)) + b'an odd end'
config = b'{"architecture":"riscv64","os":"linux"}'
image = {
    'schemaVersion': 2,
    'mediaType': 'application/vnd.oci.image.manifest.v1+json',
    'config': {'mediaType': 'application/vnd.oci.image.config.v1+json',
               'digest': digest(config), 'size': len(config)},
    'layers': [{'mediaType': 'application/vnd.oci.image.layer.v1.tar',
                'digest': digest(large), 'size': len(large)}],
}
data = json.dumps(image).encode()


def upload(blob):
    got, size = client.upload_blob('lib/new', io.BytesIO(blob))
    return [got == digest(blob), size]


def download(blob):
    got = b''.join(client.download_blob('lib/new', digest(blob)))
    return [True, got == blob]


def by_digest():
    other = dict(image, annotations={'is': 'untagged'})
    made = client.set_manifest('lib/new', other)
    got = client.get_manifest('lib/new', made)
    return [got.digest == made, got.manifest['annotations']['is']]


def get_manifest():
    got = client.get_manifest('lib/new', 'one')
    return [got.digest == digest(data), got.media_type, got.manifest == image,
            got.manifest['config']['size']]


def what_was_made():
    got = manifest(client.get_manifest_properties('lib/new', 'one'))
    of = repository(client.get_repository_properties('lib/new'))
    return dict({name: got[name] for name in ('architecture', 'os', 'size',
                                              'tags')},
                manifests=of['manifests'])


step('upload', lambda: upload(small))
step('upload in chunks', lambda: upload(large))
step('upload of a config', lambda: upload(config))
step('download', lambda: download(small))
step('unknown blob', lambda: client.download_blob('lib/new', digest(b'none')))
step('manifest by tag', lambda: client.set_manifest(
    'lib/new', io.BytesIO(data), tag='one') == digest(data))
step('manifest by digest', by_digest)
step('get manifest', get_manifest)
step('unknown manifest', lambda: client.get_manifest('lib/new', 'none'))
step('what was made', what_was_made)


# deletion

step('delete blob', lambda: client.delete_blob('lib/new', digest(small)))
step('deleted blob', lambda: client.download_blob('lib/new', digest(small)))
step('delete blob again', lambda: client.delete_blob('lib/new', digest(small)))
step('delete tag', lambda: client.delete_tag('lib/new', 'one'))
step('deleted tag', lambda: client.get_tag_properties('lib/new', 'one'))
step('delete manifest',
     lambda: client.delete_manifest('lib/new', digest(data)))
step('deleted manifest',
     lambda: client.get_manifest('lib/new', digest(data)))
step('delete repository', lambda: client.delete_repository('lib/new'))
step('deleted repository',
     lambda: client.get_repository_properties('lib/new'))
step('delete repository again', lambda: client.delete_repository('lib/new'))
