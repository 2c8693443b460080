using System.Text;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace StreamsHost.Admin;

/// <summary>
/// <c>/livez</c>: the process responds and needs no restart. <c>/readyz</c>: it accepts clients. The response is one word, with <c>?verbose</c> one
/// line per check, and JSON for clients that accept it.
/// </summary>
internal static class Health
{
    public static void MapHealth(this WebApplication application)
    {
        application.MapMethods("/livez", [HttpMethods.Get, HttpMethods.Head], context => AnswerAsync(context, _ => false));
        application.MapMethods("/readyz", [HttpMethods.Get, HttpMethods.Head], context => AnswerAsync(context, _ => true));
    }

    private static async Task AnswerAsync(HttpContext context, Func<HealthCheckRegistration, bool> counts)
    {
        HealthReport report = await context.RequestServices.GetRequiredService<HealthCheckService>().CheckHealthAsync(counts, context.RequestAborted);
        bool isGood = report.Status != HealthStatus.Unhealthy;
        context.Response.StatusCode = isGood ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        if (context.WantsJson())
        {
            await context.AnswerAsync(
                new HealthAnswer(isGood, [.. report.Entries.Select(entry => new CheckAnswer(entry.Key, entry.Value.Status != HealthStatus.Unhealthy, Reason(entry.Value)))]),
                AdminJson.Default.HealthAnswer);
            return;
        }

        await context.AnswerAsync(Text(report, isGood, context.Request.Query.ContainsKey("verbose")));
    }

    private static string Text(HealthReport report, bool isGood, bool verbose)
    {
        var text = new StringBuilder();
        foreach ((string name, HealthReportEntry entry) in report.Entries.Where(entry => verbose || entry.Value.Status == HealthStatus.Unhealthy))
        {
            text.Append(name).Append(": ").Append(entry.Status == HealthStatus.Unhealthy ? "failed" : "ok");
            text.Append(Reason(entry) is string reason ? $", {reason}\n" : "\n");
        }

        return (isGood ? "ok\n" : "failed\n") + text;
    }

    private static string? Reason(HealthReportEntry entry) => entry.Description ?? entry.Exception?.Message;
}
