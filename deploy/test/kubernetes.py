#!/usr/bin/env python3
"""Checks the Kubernetes manifests without a cluster, and runs what they say with docker in the kubelet's place.

    deploy/test/kubernetes.py check      renders the kustomizations and validates them against the schemas (kubectl, kubernetes-validate)
    deploy/test/kubernetes.py run        also: bootstrap.sh against this script as `kubectl`; the pods are containers with the manifest's
                                         arguments, environment, user, volumes and file modes; ends when every readiness probe passes

`run` needs docker, the image agent-mesh-quantum:test and deploy/docker/dist/agent-mesh (deploy/test/containers.sh makes both).
As `kubectl` it knows what bootstrap.sh uses and refuses the rest.
"""
import json, os, re, shutil, subprocess, sys, tempfile, time

import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
IMAGE = "agent-mesh-quantum:test"
VERSIONS = ["1.31", "1.33"]


def sh(*args, check=True, stdin=None):
    done = subprocess.run(args, input=stdin, capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(args)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def render(directory):
    if shutil.which(real_kubectl()):
        return sh(real_kubectl(), "kustomize", directory)
    # Without kubectl the manifests as they are: what kustomize adds is the namespace and the generated ConfigMap.
    kustomization = yaml.safe_load(open(os.path.join(directory, "kustomization.yaml")))
    text = []
    for resource in kustomization["resources"]:
        path = os.path.join(directory, resource)
        text.append(render(path) if os.path.isdir(path) else open(path).read())
    documents = list(yaml.safe_load_all("\n---\n".join(text)))
    for change in kustomization.get("replicas", []):
        for document in documents:
            if document["kind"] == "StatefulSet" and document["metadata"]["name"] == change["name"]:
                document["spec"]["replicas"] = change["count"]
    return yaml.safe_dump_all(documents)


def real_kubectl():
    return os.environ.get("REAL_KUBECTL", "kubectl")


def check():
    for directory, replicas in [("deploy/kubernetes", 6), ("deploy/kubernetes-three-replicas", 3)]:
        text = render(os.path.join(ROOT, directory))
        documents = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(text)}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            for version in VERSIONS:
                sh("kubernetes-validate", "--strict", "--quiet", "-k", version, file.name)
        pods = documents["StatefulSet", "quantum-consensus"]["spec"]
        assert pods["replicas"] == replicas, f"{directory}: {pods['replicas']} replicas"
        template = pods["template"]
        # What the schema does not say: selectors meet labels, ports and volumes that are named exist, nothing secret is in a ConfigMap.
        labels = template["metadata"]["labels"].items()
        budget = documents["PodDisruptionBudget", "quantum-consensus"]["spec"]
        for selector in (pods["selector"]["matchLabels"], budget["selector"]["matchLabels"],
                         documents["Service", "quantum-consensus"]["spec"]["selector"],
                         documents["Service", "quantum-consensus-api"]["spec"]["selector"],
                         documents["NetworkPolicy", "quantum-consensus"]["spec"]["podSelector"]["matchLabels"]):
            assert selector.items() <= labels, f"{directory}: {selector} selects no pod"
        assert pods["serviceName"] == "quantum-consensus" and documents["Service", "quantum-consensus"]["spec"]["clusterIP"] == "None"
        spec = template["spec"]
        volumes = {v["name"] for v in spec["volumes"]} | {v["metadata"]["name"] for v in pods["volumeClaimTemplates"]}
        for container in spec["initContainers"] + spec["containers"]:
            assert {m["name"] for m in container["volumeMounts"]} <= volumes, f"{directory}: a volume is missing"
            secure = container["securityContext"]
            assert secure["readOnlyRootFilesystem"] and not secure["allowPrivilegeEscalation"] and secure["capabilities"]["drop"] == ["ALL"]
        node = spec["containers"][0]
        ports = {p["name"] for p in node["ports"]}
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert node[name]["httpGet"]["port"] in ports
        for (kind, _), document in documents.items():
            assert kind != "ConfigMap" or "secret" not in json.dumps(document).lower(), f"{directory}: a secret in a ConfigMap"
        assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch", "Always would open the key files"
        quorum = json.loads(sh(binary(), "quorum", "--validators", str(replicas), "--json"))
        assert budget["maxUnavailable"] == quorum["c"], f"{directory}: maxUnavailable {budget['maxUnavailable']}, but c = {quorum['c']}"
        print(f"{directory}: {len(documents)} objects are valid for {' and '.join(VERSIONS)}; {replicas} replicas, "
              f"maxUnavailable {budget['maxUnavailable']} = c, f = {quorum['f']}")


def binary():
    built = [os.path.join(ROOT, path) for path in ("deploy/docker/dist/agent-mesh", "target/release/agent-mesh", "target/debug/agent-mesh")]
    return next((path for path in built if os.access(path, os.X_OK)), "agent-mesh")


# --- the kubelet's part -------------------------------------------------------------------------------------------------------------


class Cluster:
    """Files of a cluster that is only this directory, and containers named after it."""

    def __init__(self):
        self.dir = os.environ["FAKE_CLUSTER"]
        self.id = os.path.basename(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def documents(self):
        return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(open(self.path("applied.yaml")))}

    def apply(self, text):
        open(self.path("applied.yaml"), "w").write(text)
        sh("docker", "network", "create", self.id)
        pods = self.documents()["StatefulSet", "quantum-consensus"]["spec"]
        for index in range(pods["replicas"]):
            self.start(f"quantum-consensus-{index}", pods)

    def start(self, pod, pods):
        spec, claim = pods["template"]["spec"], f"{self.id}-{pod}"
        group = spec["securityContext"]["fsGroup"]
        # What fsGroup does to a new volume: its root belongs to the group, which may write, and so do new directories in it.
        sh("docker", "volume", "create", claim)
        where = sh("docker", "volume", "inspect", "-f", "{{.Mountpoint}}", claim).strip()
        os.chown(where, 0, group)
        os.chmod(where, 0o2775)
        for container in spec["initContainers"]:
            log = sh("docker", "run", "--rm", *self.flags(pod, pods, container, claim))
            open(self.path(f"{pod}.{container['name']}.log"), "w").write(log)
        container = spec["containers"][0]
        alias = f"{pod}.quantum-consensus.{self.namespace()}.svc"
        sh("docker", "run", "-d", "--name", claim, "--network", self.id, "--network-alias", alias, *self.flags(pod, pods, container, claim))

    def namespace(self):
        return self.documents()["StatefulSet", "quantum-consensus"]["metadata"]["namespace"]

    def flags(self, pod, pods, container, claim):
        spec = pods["template"]["spec"]
        user = spec["securityContext"]
        assert user["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
        fields = {"metadata.name": pod, "metadata.namespace": self.namespace()}
        env = {e["name"]: e["value"] if "value" in e else fields[e["valueFrom"]["fieldRef"]["fieldPath"]] for e in container["env"]}
        flags = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--no-healthcheck",
                 "--user", f"{user['runAsUser']}:{user['runAsGroup']}", "--group-add", str(user["fsGroup"])]
        for name, value in env.items():
            flags += ["-e", f"{name}={value}"]
        maps = {v["name"]: v["configMap"] for v in spec["volumes"]}
        for mount in container["volumeMounts"]:
            if mount["name"] not in maps:
                flags += ["-v", f"{claim}:{mount['mountPath']}"]
                continue
            source = self.config_map(maps[mount["name"]]["name"])
            source = os.path.join(source, mount["subPath"]) if "subPath" in mount else source
            flags += ["-v", f"{source}:{mount['mountPath']}:ro"]
        expand = lambda text: re.sub(r"\$\((\w+)\)", lambda found: env[found[1]], text)
        return [*flags, IMAGE, *map(expand, container["args"])]

    def config_map(self, name):
        """A directory with the map's files; an optional map that is not there yet is empty."""
        directory = self.path(f"map-{name}")
        os.makedirs(directory, exist_ok=True)
        document = self.documents().get(("ConfigMap", name), {})
        for file, text in document.get("data", {}).items():
            open(os.path.join(directory, file), "w").write(text)
        return directory

    def add_map(self, text):
        document = yaml.safe_load(text)
        assert document["kind"] == "ConfigMap" and document["immutable"] is True, text
        # As the kubelet does it: complete or not there.
        directory = self.config_map(document["metadata"]["name"])
        for file, content in document["data"].items():
            open(os.path.join(directory, "." + file), "w").write(content)
            os.rename(os.path.join(directory, "." + file), os.path.join(directory, file))

    def ready(self):
        pods = self.documents()["StatefulSet", "quantum-consensus"]["spec"]
        node = pods["template"]["spec"]["containers"][0]
        probe = node["readinessProbe"]["httpGet"]
        port = next(p["containerPort"] for p in node["ports"] if p["name"] == probe["port"])
        probe = f":{port}{probe['path']}"
        deadline = time.monotonic() + 90
        for index in range(pods["replicas"]):
            name = f"{self.id}-quantum-consensus-{index}"
            address = sh("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name).strip()
            while subprocess.run(["curl", "-sfo", "/dev/null", "--max-time", "2", f"http://{address}{probe}"]).returncode != 0:
                if time.monotonic() > deadline:
                    sys.exit(f"{name} does not become ready:\n{sh('docker', 'logs', '--tail', '5', name)}")
                time.sleep(0.2)
            print(f"{name} is ready: {address}{probe}")


def kubectl(args):
    cluster = Cluster()
    args = args[2:] if args[:1] == ["-n"] else args
    match args:
        case ["apply", "-k", directory]:
            cluster.apply(render(directory))
        case ["apply", "-f", "-"]:
            cluster.add_map(sys.stdin.read())
        case ["get", "statefulset", name, "-o", "jsonpath={.spec.replicas}"]:
            print(cluster.documents()["StatefulSet", name]["spec"]["replicas"], end="")
        case ["get", "pod", pod]:
            sh("docker", "inspect", f"{cluster.id}-{pod}")
        case ["wait", "--for=condition=Initialized", _, _]:
            pass
        case ["logs", pod, "-c", container]:
            print(open(cluster.path(f"{pod}.{container}.log")).read(), end="")
        case ["create", "configmap", *_]:
            # The real one renders it; that needs no cluster.
            print(sh(real_kubectl(), *args), end="")
        case ["rollout", "status", *_]:
            cluster.ready()
        case _:
            sys.exit(f"this is not a cluster: kubectl {' '.join(args)}")


def run():
    check()
    with tempfile.TemporaryDirectory(prefix="mesh-pods-") as directory:
        os.chmod(directory, 0o755)
        bin_dir = os.path.join(directory, "bin")
        os.mkdir(bin_dir)
        os.symlink(os.path.abspath(__file__), os.path.join(bin_dir, "kubectl"))
        env = dict(os.environ, FAKE_CLUSTER=directory, REAL_KUBECTL=sh("which", "kubectl").strip(), AGENT_MESH=binary(),
                   DIR=os.path.join(directory, "network"), PATH=f"{bin_dir}:{os.environ['PATH']}")
        id = os.path.basename(directory)
        try:
            subprocess.run([os.path.join(ROOT, "deploy/kubernetes/bootstrap.sh")], env=env, check=True)
            # A pod that is made anew, as after a drain: same volume, init container again, same identity.
            os.environ.update(FAKE_CLUSTER=directory, REAL_KUBECTL=env["REAL_KUBECTL"])
            cluster, pod = Cluster(), "quantum-consensus-2"
            pods = cluster.documents()["StatefulSet", "quantum-consensus"]["spec"]
            before = open(cluster.path(f"{pod}.identity.log")).read()
            sh("docker", "rm", "-f", f"{id}-{pod}")
            cluster.start(pod, pods)
            assert open(cluster.path(f"{pod}.identity.log")).read() == before, "the identity changed"
            cluster.ready()
            # Clients need TLS and a token: without one the door is shut, with one made in the pod it opens.
            name = f"{id}-quantum-consensus-0"
            inside = lambda *args: subprocess.run(["docker", "exec", name, "/usr/local/bin/agent-mesh", *args], capture_output=True, text=True)
            made = inside("token", "create", "--home", "/data/home", "--name", "test", "--role", "read", "--out", "/data/test.token")
            assert made.returncode == 0, made.stderr
            door = ["--node", "https://quantum-consensus-0.quantum-consensus.agent-mesh.svc:8080", "--ca-file", "/data/home/keys/api.cert.pem"]
            assert inside("status", *door).returncode == 1, "status without a token"
            seen = [inside("status", *door, "--token-file", "/data/test.token") for _ in range(30) if not time.sleep(0.2)]
            assert seen[-1].returncode == 0, seen[-1].stderr
            print("HTTP opens with TLS and a token: " + seen[-1].stdout.splitlines()[0])
            print("a pod that is made anew is the same validator, and ready again")
        finally:
            for name in sh("docker", "ps", "-aq", "--filter", f"name={id}").split():
                sh("docker", "rm", "-f", name, check=False)
            for name in sh("docker", "volume", "ls", "-q", "--filter", f"name={id}").split():
                sh("docker", "volume", "rm", name, check=False)
            sh("docker", "network", "rm", id, check=False)


if os.path.basename(sys.argv[0]) == "kubectl":
    kubectl(sys.argv[1:])
elif sys.argv[1:] == ["check"]:
    check()
elif sys.argv[1:] == ["run"]:
    run()
else:
    sys.exit(__doc__)
