using System.Text;
using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Fuzz;

/// <summary>
/// Any tree of keys and values, one <c>key=value</c> a line, is a configuration whose endpoints can be planned, or has errors of which
/// each begins with its key. Reading it throws nothing, and the same text is the same endpoints.
/// </summary>
internal static class ConfigurationTarget
{
    private const string Root = "ByteStreams";

    private static readonly ServiceProvider Services = new ServiceCollection().BuildServiceProvider();

    public static void Run(ReadOnlySpan<byte> bytes)
    {
        string text = Encoding.UTF8.GetString(bytes);
        // Certificates are files, and these folders have some that never end or have an effect.
        if (text.Contains("dev", StringComparison.OrdinalIgnoreCase) || text.Contains("proc", StringComparison.Ordinal) || text.Contains("sys", StringComparison.Ordinal))
        {
            return;
        }

        var keys = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);
        foreach (string line in text.Split('\n'))
        {
            int equals = line.IndexOf('=', StringComparison.Ordinal);
            keys[$"{Root}:{(equals < 0 ? line : line[..equals])}"] = equals < 0 ? null : line[(equals + 1)..];
        }

        IConfigurationSection section = new ConfigurationBuilder().AddInMemoryCollection(keys).Build().GetSection(Root);
        var registry = new EndpointRegistry();
        registry.Add("echo", _ => (_, _, _) => Task.CompletedTask);
        registry.Add(section);
        var errors = new List<string>();
        IReadOnlyList<EndpointDefinition> plans = registry.Define(Services, NullLoggerFactory.Instance, [], errors);
        _ = registry.ReadService();

        foreach (string error in errors)
        {
            Demand.That(BeginsWithAKey(error, keys.Keys), () => $"Begins with no key: {error}");
        }

        // As a reload does, which must not take what has not changed for a change.
        var errorsAgain = new List<string>();
        IReadOnlyList<EndpointDefinition> again = registry.Define(Services, NullLoggerFactory.Instance, plans, errorsAgain);
        Demand.That(errors.SequenceEqual(errorsAgain), "The second time, there are other errors.");
        Demand.That(plans.Select(plan => plan.Signature).SequenceEqual(again.Select(plan => plan.Signature)), "The second time, there are other endpoints.");
        Demand.That(plans.All(plan => again.Single(same => same.IsNamed(plan.Name)).Admission == plan.Admission), "An endpoint has lost its places.");
    }

    /// <summary>It begins with the path of a key, or of a section that ought to have had one, and goes on behind that.</summary>
    private static bool BeginsWithAKey(string error, IEnumerable<string> keys) => keys.SelectMany(Paths).Any(path =>
        error.Length > path.Length && error[path.Length] is ':' or ' ' && error.StartsWith(path, StringComparison.OrdinalIgnoreCase));

    private static IEnumerable<string> Paths(string key)
    {
        for (int colon = key.IndexOf(':', StringComparison.Ordinal); colon >= 0; colon = key.IndexOf(':', colon + 1))
        {
            yield return key[..colon];
        }

        yield return key;
    }
}
