using System.Globalization;
using ByteStreams.Hosting;

namespace StreamsHost.Commands;

/// <summary>Looks at the whole configuration as a start would, files included, and binds nothing.</summary>
internal sealed class CheckCommand : HostSubcommand
{
    public CheckCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "check",
            "Checks the whole configuration, with certificates, keys and paths, and binds nothing. Exit code 0 if it is in order, else 1.",
            "check",
            "check --config /etc/streamshost/appsettings.json")
    {
        file.AddTo(this);
        SetAction((parsed, cancellationToken) => RunAsync(
            file.Read(parsed, keys), parsed.InvocationConfiguration.Output, cancellationToken));
    }

    private static async Task<int> RunAsync(HostArguments arguments, TextWriter output, CancellationToken cancellationToken)
    {
        WebApplicationBuilder builder = HostApplication.CreateBuilder(arguments);
        builder.Logging.ClearProviders();
        await using WebApplication host = builder.Build();
        var mistakes = new List<string>();
        IReadOnlyList<EndpointPlan> plans = await EndpointCheck.RunAsync(host.Services, mistakes, cancellationToken);
        if (mistakes.Count > 0)
        {
            return CommandLine.Tell(mistakes);
        }

        foreach (EndpointPlan plan in plans)
        {
            await output.WriteLineAsync($"{plan.Name,-12} {plan.Url,-44} handler {plan.Options.HandlerName}");
            foreach ((string subject, DateTimeOffset notAfter) in EndpointCheck.Certificates(plan))
            {
                await output.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"{string.Empty,-12} certificate {subject}, valid until {notAfter.ToUniversalTime():u}"));
            }
        }

        foreach (string warning in plans.SelectMany(plan => EndpointCheck.Warnings(host.Services, plan)))
        {
            await output.WriteLineAsync($"Warning: {warning}");
        }

        foreach (string note in HostChecks.Notes(builder.Configuration))
        {
            await output.WriteLineAsync($"Note: {note}");
        }

        await output.WriteLineAsync(HostConfiguration.FileOf(builder.Configuration) is string path
            ? $"Configuration file: {path}{(arguments.File is null ? ". --no-config leaves it out" : string.Empty)}."
            : "No configuration file was read.");
        await output.WriteLineAsync(
            string.Create(CultureInfo.InvariantCulture, $"{plans.Count} {(plans.Count == 1 ? "endpoint is" : "endpoints are")} in order. Nothing was bound: whether the addresses are free was not looked at."));
        return 0;
    }
}
