using ByteStreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;

namespace StreamsHost.Tests;

public class TestHostTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task TestServer_ForTheHttpSide_LeavesTheByteStreamEndpointListening()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseTestServer();
        builder.Services.AddByteStreams().AddEndpoint("upper", "tcp://127.0.0.1:0", async (reader, writer) =>
        {
            string? line = await reader.ReadTextLineAsync();
            writer.Write(line!.ToUpperInvariant());
        });
        await using WebApplication application = builder.Build();
        application.MapGet("/connections", (ByteStreamServers servers) => servers["upper"].IsServing.ToString());
        await application.StartAsync(Cancel);

        // The HTTP side answers in memory, with no port of its own.
        Assert.Equal("True", await application.GetTestClient().GetStringAsync(new Uri("/connections", UriKind.Relative), Cancel));

        // The byte-stream side really listens.
        ByteStreamServer server = application.Services.GetRequiredService<ByteStreamServers>()["upper"];
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Cancel))
        {
            client.Writer.Write("hello\n");
            Assert.Equal("HELLO"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
        }

        await application.StopAsync(Cancel);
        Assert.False(server.IsServing);
    }
}
