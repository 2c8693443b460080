using System.Security.Cryptography;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Net.Http.Headers;
using StreamsHost.Admin;

namespace StreamsHost.Status;

/// <summary>The page at <c>/</c>, whose files are part of the program, and what it is told while it is open.</summary>
internal static class StatusPage
{
    private static readonly (string Path, string File, string Type)[] Files =
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/status.css", "status.css", "text/css; charset=utf-8"),
        ("/status.js", "status.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "icon.svg", "image/svg+xml"),
        ("/uPlot.css", "uPlot/uPlot.min.css", "text/css; charset=utf-8"),
        ("/uPlot.js", "uPlot/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
        ("/uPlot.LICENSE", "uPlot/LICENSE", "text/plain; charset=utf-8"),
    ];

    public static void MapStatusPage(this WebApplication application)
    {
        foreach ((string path, string file, string type) in Files)
        {
            byte[] content = Read(file);
            var tag = new EntityTagHeaderValue($"\"{Convert.ToHexStringLower(SHA256.HashData(content).AsSpan(0, 8))}\"");
            application.MapMethods(path, [HttpMethods.Get, HttpMethods.Head], context => AnswerAsync(context, content, type, tag));
        }

        application.MapGet("/events", TellAsync);
    }

    private static Task AnswerAsync(HttpContext context, byte[] content, string type, EntityTagHeaderValue tag)
    {
        // Kept by the browser, and asked for again each time: another version of the program may be there by now.
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.GetTypedHeaders().ETag = tag;
        if (context.Request.GetTypedHeaders().IfNoneMatch.Any(known => known.Compare(tag, useStrongComparison: false)))
        {
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return Task.CompletedTask;
        }

        context.Response.ContentType = type;
        context.Response.ContentLength = content.Length;
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : context.Response.Body.WriteAsync(content, context.RequestAborted).AsTask();
    }

    /// <summary>Server-sent events: the kept samples, then one each second until the page is closed.</summary>
    private static async Task TellAsync(HttpContext context)
    {
        StatusSampler sampler = context.RequestServices.GetRequiredService<StatusSampler>();
        if (sampler.Watch(out ReadOnlyMemory<byte> history) is not Channel<ReadOnlyMemory<byte>> samples)
        {
            context.Response.Headers.RetryAfter = "10";
            await context.RefuseAsync(StatusCodes.Status503ServiceUnavailable, $"{StatusSampler.MostWatchers} status pages are open already. Close one of them.");
            return;
        }

        try
        {
            // When the host stops, after its endpoints, nothing that stays open by itself may hold it up.
            using var over = CancellationTokenSource.CreateLinkedTokenSource(
                context.RequestAborted, context.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? CancellationToken.None);
            context.Response.ContentType = "text/event-stream";
            await WriteAsync(context, "history", history, over.Token);
            await foreach (ReadOnlyMemory<byte> sample in samples.Reader.ReadAllAsync(over.Token))
            {
                await WriteAsync(context, "sample", sample, over.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // The way in which this always ends.
        }
        finally
        {
            sampler.Leave(samples);
        }
    }

    private static async Task WriteAsync(HttpContext context, string name, ReadOnlyMemory<byte> json, CancellationToken cancellationToken)
    {
        await context.Response.WriteAsync($"event: {name}\ndata: ", cancellationToken);
        await context.Response.Body.WriteAsync(json, cancellationToken);
        await context.Response.WriteAsync("\n\n", cancellationToken);
        await context.Response.Body.FlushAsync(cancellationToken);
    }

    private static byte[] Read(string file)
    {
        using Stream resource = typeof(StatusPage).Assembly.GetManifestResourceStream($"Status/{file}")!;
        var content = new byte[resource.Length];
        resource.ReadExactly(content);
        return content;
    }
}
