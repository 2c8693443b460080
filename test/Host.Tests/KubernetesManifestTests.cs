using System.Globalization;
using System.Text.Json;
using ByteStreams;
using ByteStreams.Testing;
using k8s;
using k8s.Models;
using YamlDotNet.Core;

namespace StreamsHost.Tests;

/// <summary>docker/kubernetes against the API's own types, and what its parts have to agree upon.</summary>
public sealed class KubernetesManifestTests
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "kubernetes");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public void Load_EachDocument_IsOfTheApi()
    {
        string[] kinds = [.. Documents().Select(document => $"{document.ApiVersion} {document.Kind}").Order(StringComparer.Ordinal)];

        Assert.Equal(
            [
                "apps/v1 Deployment", "autoscaling/v2 HorizontalPodAutoscaler", "networking.k8s.io/v1 NetworkPolicy",
                "policy/v1 PodDisruptionBudget", "v1 ConfigMap", "v1 Service",
            ],
            kinds);
    }

    [Theory]
    [InlineData("terminationGracePeriodSeconds: 45", "terminationGracePeriod: 45")]
    [InlineData("restartPolicy: Always", "restartPolicies: Always")]
    [InlineData("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true")]
    [InlineData("periodSeconds: 10", "periodSeconds: ten")]
    public void Load_FieldThatTheApiLacks_IsRefused(string right, string wrong)
    {
        string manifest = File.ReadAllText(Path.Combine(Folder, "deployment.yaml"));
        Assert.Contains(right, manifest, StringComparison.Ordinal);

        Assert.ThrowsAny<YamlException>(() => KubernetesYaml.LoadAllFromString(manifest.Replace(right, wrong, StringComparison.Ordinal), strict: true));
    }

    [Fact]
    [Trait("Fault", "F41")]
    public void Deployment_GracePeriod_CoversEverythingThatADrainMayTake()
    {
        V1PodSpec pod = Find<V1Deployment>().Spec.Template.Spec;
        JsonElement settings = Settings().GetProperty("ByteStreams");

        long needed = pod.Containers.Max(container => container.Lifecycle.PreStop.Sleep.Seconds)
            + Seconds(settings.GetProperty("DrainDelay")) + Seconds(settings.GetProperty("DrainTimeout"));

        Assert.InRange(pod.TerminationGracePeriodSeconds!.Value, needed + 5, needed + 60);
    }

    [Fact]
    public void Deployment_EveryContainer_IsLockedUp()
    {
        V1PodSpec pod = Find<V1Deployment>().Spec.Template.Spec;

        Assert.Equal((true, 1654, "RuntimeDefault"), (pod.SecurityContext.RunAsNonRoot, pod.SecurityContext.RunAsUser, pod.SecurityContext.SeccompProfile.Type));
        Assert.All([.. pod.InitContainers, .. pod.Containers], container =>
        {
            Assert.Equal((false, true), (container.SecurityContext.AllowPrivilegeEscalation, container.SecurityContext.ReadOnlyRootFilesystem));
            Assert.Equal(["ALL"], container.SecurityContext.Capabilities.Drop);
            Assert.NotNull(container.Resources.Limits["memory"]);
        });
    }

    [Fact]
    public void Parts_NamesAndPorts_AreThoseOfTheDeployment()
    {
        V1Deployment deployment = Find<V1Deployment>();
        V1PodSpec pod = deployment.Spec.Template.Spec;
        V1Container relay = Assert.Single(pod.InitContainers);
        IDictionary<string, string> labels = deployment.Spec.Template.Metadata.Labels;

        Assert.Equal("Always", relay.RestartPolicy);
        Assert.Equal(labels, deployment.Spec.Selector.MatchLabels);
        Assert.Equal(labels, Find<V1Service>().Spec.Selector);
        Assert.Equal(labels, Find<V1NetworkPolicy>().Spec.PodSelector.MatchLabels);
        Assert.Equal(labels, Find<V1PodDisruptionBudget>().Spec.Selector.MatchLabels);
        Assert.Equal(deployment.Metadata.Name, Find<V2HorizontalPodAutoscaler>().Spec.ScaleTargetRef.Name);
        Assert.Equal(Find<V1ConfigMap>().Metadata.Name, pod.Volumes.Single(volume => volume.Name == "config").ConfigMap.Name);

        string[] named =
        [
            .. Find<V1Service>().Spec.Ports.Select(port => port.TargetPort.Value),
            .. Find<V1NetworkPolicy>().Spec.Ingress.SelectMany(rule => rule.Ports).Select(port => port.Port.Value),
            relay.StartupProbe.HttpGet.Port.Value,
            relay.LivenessProbe.HttpGet.Port.Value,
        ];
        Assert.All(named, name => Assert.Contains(relay.Ports, port => port.Name == name));
        Assert.EndsWith($":{relay.Ports.Single(port => port.Name == "admin").ContainerPort}", Settings().GetProperty("Admin").GetProperty("Url").GetString(), StringComparison.Ordinal);
        Assert.All([.. pod.InitContainers, .. pod.Containers], container =>
            Assert.All(container.VolumeMounts, mount => Assert.Contains(pod.Volumes, volume => volume.Name == mount.Name)));
    }

    [Fact]
    public void Autoscaler_Metric_IsOneThatTheLibraryHas()
    {
        string metric = Assert.Single(Find<V2HorizontalPodAutoscaler>().Spec.Metrics).Pods.Metric.Name;

        Assert.Contains($"`{metric.Replace("bytestreams_", "bytestreams.", StringComparison.Ordinal)}`", File.ReadAllText(Path.Combine(Folder, "telemetry.md")), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task ConfigMap_ItsSettings_AreTakenByTheHost()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the settings name a Unix socket");
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("localhost");
        string file = Path.Combine(authority.Folder, "appsettings.json");
        await File.WriteAllTextAsync(file, Find<V1ConfigMap>().Data["appsettings.json"], Cancel);

        await using HostProcess host = HostProcess.StartAlone(
            "--config", file,
            "--Admin:Url=http://127.0.0.1:0",
            "--ByteStreams:Endpoints:front:Url=tls://127.0.0.1:0",
            $"--ByteStreams:Endpoints:front:Tls:Certificates:0:Path={certificate.Path}",
            $"--ByteStreams:Endpoints:front:Tls:Certificates:0:KeyPath={certificate.KeyPath}");

        await host.WaitUntilUpAsync(1);
    }

    private static IEnumerable<IKubernetesObject> Documents() =>
        Directory.EnumerateFiles(Folder, "*.yaml").SelectMany(file => KubernetesYaml.LoadAllFromString(File.ReadAllText(file), strict: true)).Cast<IKubernetesObject>();

    private static T Find<T>() => Assert.Single(Documents().OfType<T>());

    private static JsonElement Settings() => JsonElement.Parse(Find<V1ConfigMap>().Data["appsettings.json"]);

    private static long Seconds(JsonElement time) => long.Parse(time.GetString()!.TrimEnd('s'), CultureInfo.InvariantCulture);
}
