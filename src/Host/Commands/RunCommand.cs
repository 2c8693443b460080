using System.CommandLine;
using ByteStreams;

namespace StreamsHost.Commands;

/// <summary>Runs the configured endpoints until a signal ends them.</summary>
internal static class RunCommand
{
    public static Command Create()
    {
        var run = new Command("run", "Runs the configured endpoints. This is what happens without a command.") { TreatUnmatchedTokensAsErrors = false };
        run.SetAction((arguments, cancellationToken) => RunAsync(arguments.UnmatchedTokens, cancellationToken));
        return run;
    }

    private static async Task<int> RunAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken)
    {
        try
        {
            WebApplicationBuilder builder = HostApplication.CreateBuilder(keys);

            // A failed start is told below, in one line for each mistake; the host would add a stack trace.
            builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
            await using WebApplication host = builder.Build();
            HostConfiguration.TellUnreadable(builder.Configuration, host.Services.GetRequiredService<ILoggerFactory>().CreateLogger("StreamsHost"));
            await host.RunAsync(cancellationToken);
            return 0;
        }
        catch (EndpointConfigurationException mistakes)
        {
            foreach (string mistake in mistakes.Errors)
            {
                await Console.Error.WriteLineAsync(mistake);
            }

            return 1;
        }
        catch (Exception unreadable) when (unreadable is InvalidDataException or FormatException)
        {
            // appsettings.json is no JSON, or an argument is no --key value: the message says where, the inner one why.
            await Console.Error.WriteLineAsync($"{unreadable.Message} {unreadable.InnerException?.Message}".TrimEnd());
            return 1;
        }
    }
}
