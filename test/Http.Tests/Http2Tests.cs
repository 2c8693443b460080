using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace ByteStreams.Http.Tests;

/// <summary>Streams of HTTP/2, as gRPC uses them.</summary>
public class Http2Tests : HttpTest
{
    private readonly TaskCompletionSource _started = Signal();
    private readonly TaskCompletionSource _aborted = Signal();

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task BidirectionalStream_LineByLine_IsEchoedBeforeTheRequestEnds(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web => web.MapPost("/", async context =>
        {
            await context.Response.BodyWriter.FlushAsync(Soon);
            using var lines = new StreamReader(context.Request.Body);
            while (await lines.ReadLineAsync(Soon) is string line)
            {
                await context.Response.BodyWriter.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"), Soon);
            }
        }));
        using HttpClient client = application.CreateClient(HttpVersion.Version20);
        using var content = new PushContent();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = content, Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Soon);
            Stream upload = await content.Stream.WaitAsync(Soon);
            using var answers = new StreamReader(await response.Content.ReadAsStreamAsync(Soon));

            for (int number = 0; number < 100; number++)
            {
                await upload.WriteAsync(Encoding.UTF8.GetBytes($"line {number}\n"), Soon);
                await upload.FlushAsync(Soon);
                Assert.Equal($"line {number}", await answers.ReadLineAsync(Soon));
            }

            content.Complete();
            Assert.Null(await answers.ReadLineAsync(Soon));
        }
        finally
        {
            content.Complete();
        }
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task Streams_ManyAtOnce_AreAllAnswered(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web => web.MapGet("/{number}", async (int number) =>
        {
            await Task.Yield();
            return $"{number} " + new string('x', 10_000);
        }));
        using HttpClient client = application.CreateClient(HttpVersion.Version20);

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 90).Select(number => client.GetStringAsync($"/{number}", Soon)));

        Assert.Equal(Enumerable.Range(0, 90).Select(number => $"{number} " + new string('x', 10_000)), answers);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task RequestAborted_ClientCancelsTheStream_FiresAndTheConnectionGoesOn(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web =>
        {
            web.MapGet("/wait", WaitAsync);
            web.MapGet("/id", (HttpContext context) => context.Connection.Id);
        });
        using HttpClient client = application.CreateClient(HttpVersion.Version20);
        string before = await client.GetStringAsync("/id", Soon);
        using var cancelled = new CancellationTokenSource();
        Task<string> waiting = client.GetStringAsync("/wait", cancelled.Token);
        await _started.Task.WaitAsync(Soon);

        await cancelled.CancelAsync();

        await _aborted.Task.WaitAsync(Soon);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.Equal(before, await client.GetStringAsync("/id", Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task RequestAborted_ConnectionOfTheStreamVanishes_Fires(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web => web.MapGet("/wait", WaitAsync));
        HttpClient client = application.CreateClient(HttpVersion.Version20);
        _ = client.GetStringAsync("/wait", Soon);
        await _started.Task.WaitAsync(Soon);

        client.Dispose();

        await _aborted.Task.WaitAsync(Soon);
        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    private static Task<Application> StartAsync(TestedTransport transport, Endpoint endpoint, Action<WebApplication> map) => Application.StartAsync(
        transport, endpoint, map, listen => listen.Protocols = HttpProtocols.Http2, tls: tls => tls.ApplicationProtocols.Add("h2"));

    private async Task WaitAsync(HttpContext context)
    {
        using CancellationTokenRegistration registration = context.RequestAborted.UnsafeRegister(_ => _aborted.SetResult(), null);
        _started.SetResult();
        await _aborted.Task.WaitAsync(Soon);
    }

    /// <summary>A request's body that the test writes while the response is read.</summary>
    private sealed class PushContent : HttpContent
    {
        private readonly TaskCompletionSource<Stream> _stream = Signal<Stream>();
        private readonly TaskCompletionSource _completed = Signal();

        public Task<Stream> Stream => _stream.Task;

        public void Complete() => _completed.TrySetResult();

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.FlushAsync();
            _stream.SetResult(stream);
            await _completed.Task;
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
