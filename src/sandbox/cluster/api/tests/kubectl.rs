//! The real kubectl and helm against the server on loopback. `BIVOUAC_TEST_KUBECTL` and `BIVOUAC_TEST_HELM` are their paths.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::*;

#[expect(clippy::disallowed_methods, reason = "a test's switch, not a setting of the program")]
fn path_of(variable: &str) -> Option<PathBuf> {
    std::env::var(variable).ok().map(PathBuf::from)
}

/// A client's program with a home of its own.
struct Tool {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Tool {
    async fn run(&self, arguments: &str, input: &str) -> (bool, String) {
        let mut child = Command::new(&self.program)
            .args(arguments.split_whitespace())
            .env_clear()
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .current_dir(self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(input.as_bytes()).await.expect("the program reads");
        drop(stdin);
        let limit = Duration::from_secs(60);
        let output = tokio::time::timeout(limit, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("{arguments} takes longer than {limit:?}"))
            .expect("the program ends");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), text)
    }

    /// Runs it, and the output has to have each of `wanted`.
    async fn ok(&self, arguments: &str, input: &str, wanted: &[&str]) -> String {
        let (fine, text) = self.run(arguments, input).await;
        assert!(fine, "{arguments} failed:\n{text}");
        for part in wanted {
            assert!(text.contains(part), "{arguments}: no {part:?} in\n{text}");
        }
        text
    }

    async fn fails(&self, arguments: &str, input: &str, wanted: &str) {
        let (fine, text) = self.run(arguments, input).await;
        assert!(!fine && text.contains(wanted), "{arguments}: no {wanted:?} in\n{text}");
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the folder can be written");
}

const MANIFESTS: &str = r"
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: nginx:1.27
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
";

const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tents.camp.dev}
spec:
  group: camp.dev
  scope: Namespaced
  names: {plural: tents, kind: Tent, shortNames: [tn]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1, description: How many sleep in it.}
          status:
            type: object
            properties:
              up: {type: boolean}
";

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "says that it was not run, and why")]
#[expect(clippy::too_many_lines, reason = "a session of commands in their order")]
async fn kubectl_works_as_with_a_real_cluster() {
    let Some(program) = path_of("BIVOUAC_TEST_KUBECTL") else {
        eprintln!("not run: BIVOUAC_TEST_KUBECTL does not name a kubectl");
        return;
    };
    let server = ApiServer::new(Clock::system(), &Rng::seeded(7), Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let serving = server.serve(listener).expect("listens");
    let home = tempfile::tempdir().expect("a folder");
    let config = server.kubeconfig(&serving.address().to_string(), &server.admin_token());
    write(&home.path().join("config"), &config);
    let k = Tool { program, home };

    k.ok("version", "", &["Server Version: v1.37"]).await;
    k.ok("create namespace camp", "", &["namespace/camp created"]).await;
    k.fails(
        "create namespace camp",
        "",
        "Error from server (AlreadyExists): namespaces \"camp\" already exists",
    )
    .await;
    k.ok(
        "apply --server-side -n camp -f -",
        MANIFESTS,
        &[
            "configmap/page serverside-applied",
            "deployment.apps/web serverside-applied",
            "service/web serverside-applied",
        ],
    )
    .await;
    k.ok(
        "apply --server-side -n camp --dry-run=server -f -",
        MANIFESTS,
        &["deployment.apps/web serverside-applied (server dry run)"],
    )
    .await;
    k.ok("diff --server-side -n camp -f -", MANIFESTS, &[]).await;
    k.ok("get cm -A", "", &["camp", "page"]).await;
    k.ok("get deploy -n camp -o wide", "", &["NAME", "CONTAINERS", "web", "nginx:1.27"]).await;
    k.ok("get cm page -n camp -o yaml", "", &["index.html: hello", "kind: ConfigMap"]).await;
    k.ok("get all -n camp", "", &["deployment.apps/web", "service/web"]).await;
    k.ok("get ns --field-selector metadata.name=camp", "", &["camp", "Active"]).await;
    k.ok("label cm page -n camp a=b", "", &["configmap/page labeled"]).await;
    k.ok("get cm -n camp -l a=b", "", &["page"]).await;
    k.ok("annotate cm page -n camp x=y", "", &["configmap/page annotated"]).await;
    k.ok("patch deploy web -n camp -p {\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"nginx:1.28\"}]}}}}", "", &["deployment.apps/web patched"]).await;
    k.ok(
        "get deploy web -n camp -o jsonpath={.spec.template.spec.containers[*].image}",
        "",
        &["nginx:1.28"],
    )
    .await;
    k.ok("patch cm page -n camp --type=json -p [{\"op\":\"add\",\"path\":\"/data/x\",\"value\":\"1\"}]", "", &["configmap/page patched"]).await;
    k.fails("apply --server-side -n camp -f -", MANIFESTS, "conflict").await;
    k.ok(
        "apply --server-side --force-conflicts -n camp -f -",
        MANIFESTS,
        &["deployment.apps/web serverside-applied"],
    )
    .await;
    k.ok("scale deploy web -n camp --replicas=3", "", &["deployment.apps/web scaled"]).await;
    k.ok("set image deploy/web -n camp c=nginx:1.29", "", &["deployment.apps/web image updated"])
        .await;
    k.ok("rollout restart deploy/web -n camp", "", &["deployment.apps/web restarted"]).await;
    let csa = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: csa}\ndata: {a: '1', b: '2'}\n";
    k.ok("apply -n camp -f -", csa, &["configmap/csa created"]).await;
    k.ok("apply -n camp -f -", &csa.replace(", b: '2'", ""), &["configmap/csa configured"]).await;
    k.ok("get cm csa -n camp -o jsonpath={.data}", "", &[r#"{"a":"1"}"#]).await;
    k.ok("replace -n camp -f -", csa, &["configmap/csa replaced"]).await;
    k.fails(
        "apply -n camp -f -",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatas: {a: b}\n",
        "unknown field \"datas\"",
    )
    .await;
    k.ok("create secret generic s -n camp --from-literal=a=b", "", &["secret/s created"]).await;
    k.ok("create serviceaccount default -n camp", "", &["serviceaccount/default created"]).await;
    k.ok("create serviceaccount bot -n camp", "", &["serviceaccount/bot created"]).await;
    k.ok("create token bot -n camp", "", &["ey"]).await;
    k.ok("auth whoami", "", &["kubernetes-admin"]).await;
    k.ok("auth can-i create pods -n camp", "", &["yes"]).await;
    k.fails("auth can-i create pods -n camp --as=ann", "", "no").await;
    k.ok("auth can-i --list -n camp", "", &["*.*"]).await;
    k.fails("get cm -n camp --as=ann", "", "Error from server (Forbidden): configmaps is forbidden: User \"ann\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"camp\"").await;
    k.ok("api-resources", "", &["deployments", "deploy", "apps/v1", "customresourcedefinitions"])
        .await;
    k.ok("api-versions", "", &["apps/v1", "rbac.authorization.k8s.io/v1"]).await;
    k.ok(
        "explain deployment.spec.replicas",
        "",
        &["KIND:       Deployment", "FIELD: replicas <integer>"],
    )
    .await;
    k.ok("get --raw /readyz", "", &["ok"]).await;
    k.ok("describe cm page -n camp", "", &["index.html"]).await;
    k.ok("describe ns camp", "", &["Active"]).await;
    k.ok("describe deploy web -n camp", "", &["nginx:1.29"]).await;
    k.ok(
        "wait --for=jsonpath={.data.a}=1 cm/csa -n camp --timeout=10s",
        "",
        &["configmap/csa condition met"],
    )
    .await;
    k.ok("delete cm csa -n camp", "", &["configmap \"csa\" deleted"]).await;
    k.ok("delete deploy web -n camp", "", &["deployment.apps \"web\" deleted"]).await;
    k.fails("get cm csa -n camp", "", "Error from server (NotFound): configmaps \"csa\" not found")
        .await;
    k.ok(
        "create deployment d -n camp --image=nginx:1.27 --replicas=2 --port=80",
        "",
        &["deployment.apps/d created"],
    )
    .await;
    k.ok("get deploy d -n camp -o jsonpath={.spec.replicas}{.spec.template.spec.containers[0].ports[0].containerPort}", "", &["280"]).await;
    k.ok("expose deploy d -n camp --port=80", "", &["service/d exposed"]).await;
    k.ok("create service clusterip e -n camp --tcp=80:8080", "", &["service/e created"]).await;
    k.ok("run p -n camp --image=nginx --env=a=b", "", &[]).await;
    k.ok("create job j -n camp --image=busybox -- true", "", &["job.batch/j created"]).await;
    k.ok("create quota q -n camp --hard=pods=3", "", &["resourcequota/q created"]).await;
    k.ok(
        "create role r -n camp --verb=get --resource=pods",
        "",
        &["role.rbac.authorization.k8s.io/r created"],
    )
    .await;
    k.ok(
        "create rolebinding rb -n camp --role=r --user=ann",
        "",
        &["rolebinding.rbac.authorization.k8s.io/rb created"],
    )
    .await;
    k.ok("auth can-i get pods -n camp --as=ann", "", &["yes"]).await;
    k.ok("apply --server-side -f -", DEFINITION, &["tents.camp.dev serverside-applied"]).await;
    k.ok(
        "wait --for=condition=Established crd/tents.camp.dev --timeout=5s",
        "",
        &["condition met"],
    )
    .await;
    let object = "apiVersion: camp.dev/v1\nkind: Tent\nmetadata: {name: t}\nspec: {size: 3}\n";
    k.ok("apply --server-side -n camp -f -", object, &["tent.camp.dev/t serverside-applied"]).await;
    k.fails("apply --server-side -n camp -f -", &object.replace("size: 3", "size: 0"), "spec.size")
        .await;
    k.fails("apply --server-side -n camp -f -", &object.replace("size: 3", "sizes: 3"), "sizes")
        .await;
    k.ok("get tn -n camp", "", &["SIZE", "3"]).await;
    k.ok("explain tent.spec.size", "", &["FIELD: size <integer>", "How many sleep in it."]).await;
    k.ok(
        "patch tent t -n camp --type=merge --subresource=status -p {\"status\":{\"up\":true}}",
        "",
        &["tent.camp.dev/t patched"],
    )
    .await;
    k.ok("get tent t -n camp -o jsonpath={.status.up}{.metadata.generation}", "", &["true1"]).await;
    k.ok("delete crd tents.camp.dev", "", &["deleted"]).await;
    k.ok("delete cm --all -n camp", "", &["configmap \"page\" deleted"]).await;
    k.ok("delete pods --all --force --grace-period=0 -n camp", "", &["deleted"]).await;
    k.ok("get events -n camp", "", &["No resources found"]).await;
    let watch = async {
        let (_, text) = k.run("get cm -n camp --watch --request-timeout=3s", "").await;
        text
    };
    let late = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        k.ok("create cm late -n camp", "", &["configmap/late created"]).await;
    };
    let (seen, ()) = tokio::join!(watch, late);
    assert!(seen.contains("late"), "{seen}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "says that it was not run, and why")]
async fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let Some(program) = path_of("BIVOUAC_TEST_HELM") else {
        eprintln!("not run: BIVOUAC_TEST_HELM does not name a helm");
        return;
    };
    let server = ApiServer::new(Clock::system(), &Rng::seeded(7), Options::default());
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let serving = server.serve(listener).expect("listens");
    let home = tempfile::tempdir().expect("a folder");
    let config = server.kubeconfig(&serving.address().to_string(), &server.admin_token());
    write(&home.path().join("config"), &config);
    let h = Tool { program, home };
    h.ok("create hx", "", &["Creating hx"]).await;
    h.ok("install hx ./hx -n camp", "", &["STATUS: deployed"]).await;
    let (code, made) = admin.get("/apis/apps/v1/namespaces/camp/deployments/hx").await;
    assert_eq!((code, &made["spec"]["replicas"]), (200, &json!(1)), "{made}");
    h.ok("upgrade hx ./hx -n camp --set replicaCount=3", "", &["REVISION: 2"]).await;
    let (_, scaled) = admin.get("/apis/apps/v1/namespaces/camp/deployments/hx").await;
    assert_eq!(scaled["spec"]["replicas"], 3);
    h.ok("list -n camp", "", &["hx", "deployed"]).await;
    h.ok("status hx -n camp", "", &["REVISION: 2"]).await;
    h.ok("rollback hx 1 -n camp", "", &["Rollback was a success"]).await;
    let (_, back) = admin.get("/apis/apps/v1/namespaces/camp/deployments/hx").await;
    assert_eq!(back["spec"]["replicas"], 1);
    h.ok("upgrade --install hz ./hx -n camp --server-side=false", "", &["STATUS: deployed"]).await;
    h.ok("uninstall hx -n camp", "", &["uninstalled"]).await;
    assert_eq!(admin.get("/apis/apps/v1/namespaces/camp/deployments/hx").await.0, 404);
    serving.stop().await;
}
