using System.Net.WebSockets;
using Microsoft.AspNetCore.Http;

namespace Benchmarks.Http;

/// <summary>The response of each path, without routing.</summary>
internal static class Responses
{
    private const int LargeBytes = 64 * 1024;
    private const int MessageBytes = 4096;

    private static readonly byte[] Hello = "Hello, World!"u8.ToArray();
    private static readonly byte[] Large = [.. Enumerable.Range(0, LargeBytes).Select(i => (byte)('a' + (i % 26)))];

    /// <summary>Null where the path is unknown.</summary>
    public static Task? RespondAsync(HttpContext context) => context.Request.Path.Value switch
    {
        "/plaintext" => WriteAsync(context.Response, "text/plain", Hello),
        "/large" => WriteAsync(context.Response, "application/octet-stream", Large),
        // Chunked, in two flushes: ASP.NET Core does not know the length before it serializes.
        "/json" => context.Response.WriteAsJsonAsync(new Greeting("Hello, World!")),
        "/order" when HttpMethods.IsPost(context.Request.Method) => TotalAsync(context),
        "/echo" when context.WebSockets.IsWebSocketRequest => EchoAsync(context),
        _ => null,
    };

    private static Task WriteAsync(HttpResponse response, string contentType, byte[] body)
    {
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        return response.Body.WriteAsync(body, 0, body.Length);
    }

    private static async Task TotalAsync(HttpContext context)
    {
        Order order = (await context.Request.ReadFromJsonAsync<Order>())!;
        await context.Response.WriteAsJsonAsync(new OrderTotal(order.Id, order.Items.Sum(item => item.Quantity)));
    }

    private static async Task EchoAsync(HttpContext context)
    {
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        byte[] buffer = new byte[MessageBytes];
        int filled = 0;
        while (true)
        {
            ValueWebSocketReceiveResult received = await socket.ReceiveAsync(buffer.AsMemory(filled), context.RequestAborted);
            if (received.MessageType == WebSocketMessageType.Close)
            {
                await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, context.RequestAborted);
                return;
            }

            filled += received.Count;
            if (received.EndOfMessage)
            {
                await socket.SendAsync(buffer.AsMemory(0, filled), received.MessageType, endOfMessage: true, context.RequestAborted);
                filled = 0;
            }
            else if (filled == buffer.Length)
            {
                await socket.CloseAsync(WebSocketCloseStatus.MessageTooBig, null, context.RequestAborted);
                return;
            }
        }
    }

    private sealed record Greeting(string Message);

    private sealed record Order(int Id, string Customer, OrderItem[] Items);

    private sealed record OrderItem(string Name, int Quantity);

    private sealed record OrderTotal(int Id, int Quantity);
}
