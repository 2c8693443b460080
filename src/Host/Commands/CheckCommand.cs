using System.Globalization;
using ByteStreams;
using StreamsHost.Configuration;
using StreamsHost.Hosting;

namespace StreamsHost.Commands;

/// <summary>Validates the whole configuration as a start would, files included, and binds nothing.</summary>
internal sealed class CheckCommand : HostSubcommand
{
    public CheckCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "check",
            "Validates the whole configuration, with certificates, keys and paths, and binds nothing. Exits with 0 if it is valid, else with 1.",
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
        EndpointValidationResult result = await host.Services.GetRequiredService<EndpointValidator>().ValidateAsync(cancellationToken);
        if (!result.IsValid)
        {
            return CommandLine.Report(result.Errors.Select(error => error.ToString()));
        }

        foreach (EndpointDescription endpoint in result.Endpoints)
        {
            await output.WriteLineAsync($"{endpoint.Name,-12} {endpoint.Url,-44} handler {endpoint.Handler}");
            foreach (CertificateSnapshot certificate in endpoint.Certificates)
            {
                await output.WriteLineAsync(string.Create(
                    CultureInfo.InvariantCulture, $"{string.Empty,-12} certificate {certificate.Subject}, valid until {certificate.NotAfter.ToUniversalTime():u}"));
            }
        }

        foreach (ConfigurationFinding warning in result.Warnings)
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
            string.Create(CultureInfo.InvariantCulture, $"{result.Endpoints.Count} {(result.Endpoints.Count == 1 ? "endpoint is" : "endpoints are")} valid. Nothing was bound: whether the addresses are free was not checked."));
        return 0;
    }
}
